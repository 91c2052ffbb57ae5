"""The door: registers commands and turns errors into exit codes."""


def main() -> None:
    """Run `prism`."""
