"""Completion of scripts/crucible in bash, made from the parser itself, so that it knows what the command knows.

The function that bash loads asks `scripts/crucible completion words` at each Tab. argcomplete does likewise, but wants
a Python program under that name; ours is a shell script, which works before any Python package is installed.

An argument's words are its choices; run folders for what is of the type Path; or what a callable in its attribute
`completer` returns for the word so far, as argcomplete has it:
  parser.add_argument("--need", ...).completer = completion.listed(NEEDS)
"""
import argparse
import os
import pathlib

from . import plan, project, text

_SCRIPT = r"""# Completion of scripts/crucible for bash 4.4 or later; printed by `scripts/crucible completion bash`.
_crucible() {
  local program=${1/#\~/$HOME} word
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <("$program" completion words "$COMP_CWORD" "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
  case ${COMPREPLY[0]-} in
    */) compopt -o nospace 2>/dev/null ;;
  esac
  return 0
}
complete -F _crucible crucible  # under whatever path it is called
"""


def register(command):
    """Adds the sub-command by cli's `command(name, function, summary, description, epilog)`."""
    parser = command(
        "completion", run, "completion for bash", "Prints a bash function that completes sub-commands, options, "
        "profiles, mechanisms and run folders.\nIt asks this program at each Tab, so it need not be printed anew after "
        "an update.",
        "examples:\n"
        "  source <(scripts/crucible completion bash)                  for this shell\n"
        "  scripts/crucible completion bash > ~/.local/share/bash-completion/completions/crucible\n"
        "                                                              for all, where bash-completion is installed\n\n"
        "Exit status: 0 good, 2 wrong usage.")
    parser.add_argument("shell", choices=["bash", "words"],
                        help="bash: prints the function; words: is for that function's use")
    parser.add_argument("line", nargs=argparse.REMAINDER, metavar="WORD",
                        help="for words: the index of the current word, and all words")


def run(options):
    if options.shell == "bash":
        print(_SCRIPT, end="")
        return project.OK
    from . import cli  # here, since cli registers this module
    try:
        current, words = int(options.line[0]), options.line[1:]
    except (IndexError, ValueError):
        raise project.Stop("words needs the index of the current word, and the words", project.USAGE) from None
    for word in offered(cli.make_parser(), words[1:current], words[current] if current < len(words) else ""):
        print(word)
    return project.OK


def offered(parser, before, current):
    """The words that may stand in the place of `current`, behind the words `before` it."""
    # Bash makes a word of each '=', so that --only=x arrives as three.
    before = [word for word in before if word != "="]
    current = "" if current == "=" else current
    parser, position, wanting = _walk(parser, before)
    if wanting:
        found = _values(wanting, current)
    elif current.startswith("-"):
        found = [name for name in parser._option_string_actions if name.startswith("--")]  # argparse has no other way
    else:
        action = _positional(parser, position)
        found = _values(action, current) if action else []
    return [word for word in found if word.startswith(current)]


def _walk(parser, words):
    """(the innermost parser, how many of its positional words were seen, the option whose value comes next or None)."""
    position, wanting, left = 0, None, 0
    for word in words:
        if left:
            left -= 1
            continue
        option = parser._option_string_actions.get(word.partition("=")[0])
        if option:
            left = 0 if "=" in word else _values_taken(option)
            wanting = option
            continue
        action = _positional(parser, position)
        if isinstance(action, argparse._SubParsersAction) and word in action.choices:
            parser, position = action.choices[word], 0
        else:
            position += 1
    return parser, position, wanting if left else None


def _values_taken(option):
    return option.nargs if isinstance(option.nargs, int) else 1


def _positional(parser, position):
    """The action that the next positional word belongs to; None if there is none any more."""
    actions = [action for action in parser._actions if not action.option_strings]
    for action in actions:
        if position == 0 or action.nargs in ("*", "+", argparse.REMAINDER):
            return action
        position -= _values_taken(action)
        if position < 0:
            return action
    return None


def _values(action, current):
    if hasattr(action, "completer"):
        return list(action.completer(current))
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.type is pathlib.Path:
        return _paths(current) if action.option_strings else _run_folders(current)
    return []


def listed(words):
    """A completer for lists with commas: what is written stays, and nothing is offered twice."""
    def complete(current):
        head, comma, _ = current.rpartition(",")
        return [head + comma + word for word in words if word not in head.split(",")]
    return complete


def _cells():
    mechanisms = project.mechanism_rows(project.RELEASE_DIR)
    return [cell for profile in plan.load_profiles()["profiles"].values()
            for cell in plan.cells_of(profile, mechanisms)]


def case_parts(_):
    """What a case's name consists of, as far as a pattern is likely to ask for it."""
    workloads = ["/".join(cell.case.split("/")[:2]) for cell in _cells()]
    return list(dict.fromkeys([*project.mechanism_rows(project.RELEASE_DIR), *workloads]))


def sizes(current):
    """The message sizes of the profiles."""
    known = sorted({cell.bytes for cell in _cells()} - {0})
    return listed([text.size(size).replace(" ", "").removesuffix("iB").removesuffix("B") for size in known])(current)


def _paths(current):
    """Folders below what is written so far, each with a slash."""
    folder, _, start = current.rpartition("/")
    base = pathlib.Path(f"{folder}/" if "/" in current else ".").expanduser()
    try:
        names = sorted(name for name in os.listdir(base) if name.startswith(start) and (base / name).is_dir())
    except OSError:
        return []
    lead = f"{folder}/" if "/" in current else ""
    return [f"{lead}{name}/" for name in names if start or not name.startswith(".")]


def _run_folders(current):
    """Runs in results/ first, as one writes them here; else folders on the way to one."""
    runs = [path.parent for path in sorted((project.ROOT / "results").glob("*/results.json"))]
    known = [os.path.relpath(path) for path in runs]
    return [path for path in known if path.startswith(current)] or _paths(current)
