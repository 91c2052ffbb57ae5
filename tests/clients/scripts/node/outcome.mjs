// What a script shares with its test: its arguments, and the outcome of each call.
// It stands before every other script, as those have no file to import it from.
const args = JSON.parse(process.env.ARGS);

const report = async (calls) => {
  const outcomes = {};
  for (const [name, call] of Object.entries(calls)) {
    try {
      outcomes[name] = await call();
    } catch (error) {
      outcomes[name] = { error: error.name, message: String(error.message) };
    }
  }
  console.log("\n" + JSON.stringify(outcomes));
  process.exit(0);
};
