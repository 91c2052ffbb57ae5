"""Commands on objects: what they print and write, and which options stay local."""

from pathlib import Path

import orjson

from tests.door import prism
from tests.factories import jsonl, make_pairs
from tests.servers.s3 import Bucket, FaultyS3

JUDGED = jsonl(make_pairs(4, source_label="1", passage="p", document=None))


def test_a_run_its_status_and_the_next_command(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in/1.jsonl", JUDGED)
    out = bucket["out/1.jsonl"]
    words = ["relabel", "--judge", "source", "--field", "document=passage"]
    done = prism(*words, bucket["in/1.jsonl"], "-o", out)
    assert done.returncode == 0, done.stderr
    assert out in done.stderr
    assert str(tmp_path) not in done.stderr
    assert f"{out}: relabel finished, 4 done" in prism("status", out).stdout
    again = prism(*words, bucket["in/1.jsonl"], "-o", out)
    assert "finished before" in again.stderr

    sorted_rows = prism("convert", "--sort-queries", out, "-o", bucket["sorted.jsonl"])
    assert sorted_rows.returncode == 0, sorted_rows.stderr
    assert bucket.get("sorted.jsonl") == bucket.get("out/1.jsonl")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("s3:")]


def test_a_sample_draws_no_picture_into_a_bucket(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("scored.jsonl", jsonl(make_pairs(30, teacher_scores={"t": 0.5})))
    done = prism("sample", bucket["scored.jsonl"], "-o", bucket["few.jsonl"])
    assert done.returncode == 0, done.stderr
    assert bucket.names() == ["few.jsonl", "few.jsonl.manifest.json", "scored.jsonl"]
    assert not list(tmp_path.glob("s3*"))


def test_a_dry_run_reads_the_object_and_writes_none(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", JUDGED)
    words = ["relabel", "--judge", "source", "--field", "document=passage", "--dry-run", "--json"]
    done = prism(*words, bucket["in.jsonl"], "-o", bucket["o.jsonl"])
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)
    assert bucket.names() == ["in.jsonl"]


def test_options_that_read_local_files_say_so(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", JUDGED)
    done = prism("relabel", "--judge", "source", "in.jsonl", "--reuse", bucket["in.jsonl"])
    assert done.returncode == 3
    done = prism("relabel", "--judge", "source", bucket["in.jsonl"], "--reuse", bucket["in.jsonl"])
    assert done.returncode == 3
    assert f"{bucket['in.jsonl']}: is in an object store, and this is read from" in done.stderr


def test_a_key_with_the_marks_of_a_pattern_is_itself(bucket: Bucket, proxy: FaultyS3) -> None:
    for key in ("in/x[1].jsonl", "in/x1.jsonl"):
        bucket.put(key, JUDGED)
    words = ["relabel", "--judge", "source", "--field", "document=passage"]
    done = prism(*words, bucket["in/x[1].jsonl"], "-o", bucket["out.jsonl"])
    assert done.returncode == 0, done.stderr
    assert "in/x[1].jsonl" in bucket.get("out.jsonl.manifest.json").decode()


def test_an_output_among_the_inputs_is_refused(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in/1.jsonl", JUDGED)
    words = ["relabel", "--judge", "source", "--field", "document=passage"]
    done = prism(*words, bucket["in/"], "-o", bucket["in/all.jsonl"])
    assert done.returncode == 2
    assert "would be read as one of its files by the next" in done.stderr
    assert bucket.names() == ["in/1.jsonl"]


def test_fresh_goes_on_until_all_objects_are_finished(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    for number in (1, 2):
        bucket.put(f"in/{number}.jsonl", JUDGED)
    words = ["relabel", "--judge", "source", "--field", "document=passage", "--fresh"]
    for _ in range(2):
        done = prism(*words, bucket["in/"], "-o", bucket["out/"])
        assert done.returncode == 0, done.stderr
        assert "an earlier run" not in done.stderr
        assert "8 rows out" in done.stderr
        assert not list(tmp_path.rglob("again-*"))
