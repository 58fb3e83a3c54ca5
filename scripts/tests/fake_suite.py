"""Stands in for a conformance binary: writes the XML that GoogleTest would, for its shard of the tests that the filter
leaves. FAKE_FAIL names a test that fails."""
import fnmatch
import os
import sys
from xml.sax.saxutils import quoteattr

SKIPPED = "MAY(passes_descriptors): a byte stream carries none"
VARIANTS = ("", "_named")


def tests(program):
    names = os.environ.get("FAKE_NAMES", "posix_pipe,unix_socket").split(",")
    if program == "pipe_test":
        for name in names:
            for variant in VARIANTS + ("_spin", "_block") * (name == "shm_ring"):
                for test in ("P1_ObjectsArriveAsSent", "P6_BufferedMessagesThenEndOfFile", "P19_PassesDescriptors"):
                    skip = SKIPPED if test.startswith("P19") and name in ("posix_pipe", "shm_ring") else None
                    yield "Mechanisms/Pipe", f"{test}/{name}{variant}", skip
    elif program == "process_test":
        yield "Process", "X1_RunsTarget", None
        yield "Process", "X8_TerminatedBySignalN", None
        yield "ProcessTiming", "X1_Soon", None
    else:
        yield "Codec", "C1_RoundTrip/0", None


def chosen(program, gtest_filter):
    """As GoogleTest chooses: some of these patterns, and none of those after the dash."""
    some, _, none = gtest_filter.partition("-")

    def matches(name, patterns):
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split(":") if pattern)

    for suite, name, skip in tests(program):
        full = f"{suite}.{name}"
        if (not some or matches(full, some)) and not matches(full, none):
            yield suite, name, skip


def case(suite, name, skip):
    body = ""
    if os.environ.get("FAKE_FAIL", "\0") in f"{suite}.{name}":
        body = f'<failure message={quoteattr("pipe_test.cc:12" + chr(10) + "expected end of file")} type=""/>'
    elif skip:
        body = f'<skipped message={quoteattr("pipe_test.cc:40" + chr(10) + skip)}/>'
    result = "skipped" if skip else "completed"
    return (f'<testcase name={quoteattr(name)} classname={quoteattr(suite)} status="run" result="{result}">{body}'
            "</testcase>"), "failure" in body


def main(program, arguments):
    options = dict(word.lstrip("-").split("=", 1) for word in arguments if "=" in word)
    selected = list(chosen(program, options.get("gtest_filter", "*")))
    if "--gtest_list_tests" in arguments:
        suite = None
        for name, test, _ in selected:
            if name != suite:
                print(f"{name}.")
                suite = name
            print(f"  {test}  # GetParam() = 1")
        return 0
    shards, shard = int(os.environ.get("GTEST_TOTAL_SHARDS", 1)), int(os.environ.get("GTEST_SHARD_INDEX", 0))
    found = [case(*test) for test in selected[shard::shards]]
    with open(options["gtest_output"].removeprefix("xml:"), "w", encoding="utf-8") as sink:
        sink.write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="all">'
                   + "".join(text for text, _ in found) + "</testsuite></testsuites>\n")
    return int(any(failed for _, failed in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
