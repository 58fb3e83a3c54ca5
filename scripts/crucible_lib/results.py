"""results.json: made, checked against its schema, written and read."""
import datetime
import gzip
import json
import math
import re

from . import conformance, project, records

SCHEMA = project.SCRIPTS / "results.schema.json"
FILE = "results.json"


def fault(document, part=None):
    """Where it breaks the schema first, or None; `part`: one of the schema's definitions instead of all of it."""
    import jsonschema  # here, since listing cases needs only the standard library

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    if part:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{part}"}
    found = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
    return f"at {found.json_path}: {found.message}" if found else None


def validate(results):
    where = fault(results)
    if where:
        raise project.Stop(f"{FILE} would not follow its schema, {where}", project.FAILED)


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(stamped):
    return datetime.datetime.strptime(stamped, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def folder_name(moment, host, commit):
    return "-".join([moment.strftime("%Y%m%dT%H%M%SZ"), re.sub(r"[^\w.]+", "-", host) or "host", commit])


def assemble(run, plan, build_dir, started, environment, options, noise=None):
    """The whole document of a run that ended, was interrupted or failed in part."""
    return {"schema": 1, **({"noise": noise} if noise else {}),
            "run": {"profile": plan.profile, "started": stamp(started), "elapsed_s": round(run.elapsed_s, 1),
                    "planned_s": round(plan.total_s, 1), "interrupted": run.interrupted, "options": options,
                    "gtest_filter": plan.gtest_filter,
                    **({"conformance_checked": run.conformance_checked} if run.conformance_checked else {})},
            "environment": {**environment, "load": run.load},
            "mechanisms": project.mechanism_table(build_dir),
            "conformance": run.conformance,
            "clauses": [{"id": c.id, "level": c.level, "capability": c.capability, "text": c.text}
                        for c in conformance.clauses()],
            "records": records.assemble(run.lines, run.missing)}


def write(results, run_dir):
    validate(results)
    path = run_dir / FILE
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read(run_dir):
    return read_file(run_dir / FILE)


def read_file(path):
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise project.Stop(f"there is no {path.name} in {path.parent}", project.USAGE) from None
    except OSError as error:
        raise project.Stop(f"cannot read {path}: {error.strerror}", project.USAGE) from None
    except ValueError as error:
        raise project.Stop(f"{path} is not JSON: {error}", project.FAILED) from None
    validate(results)
    return results


def recomputed(results, run_dir):
    """(number of ratios recomputed from the raw blocks, cases whose published ratio differs); None without raws."""
    path = run_dir / "raw" / "records.jsonl.gz"
    if not path.exists():
        return None
    published = {r["case"]: r["ratio_to_limit"] for r in results["records"] if "ratio_to_limit" in r}
    wrong, count = [], 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if line["case"] not in published:
                continue
            count += 1
            fresh, known = records.paired_ratio(line), published[line["case"]]
            # A library's random numbers may change between versions: the median may not, an interval hardly.
            if fresh is None or not math.isclose(fresh["median"], known["median"], rel_tol=1e-9) or any(
                    (fresh[edge] is None) != (known[edge] is None)
                    or fresh[edge] is not None and not math.isclose(fresh[edge], known[edge], rel_tol=0.02)
                    for edge in ("low", "high")):
                wrong.append(line["case"])
    return count, wrong
