"""Checks what we depend on: every workspace dependency is used and has its reason, every licence is one we accept.

Reads `cargo metadata` and the manifests; needs nothing but Python and cargo.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Permissive licences, and the file-level copyleft of MPL and the data licence of Unicode tables.
ACCEPTED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "bzip2-1.0.6",
    "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unicode-3.0", "Unlicense", "Zlib",
}


def accepted(expression: str) -> bool:
    """True when some alternative of an SPDX expression needs accepted licences only."""
    text = expression.replace("/", " OR ").strip()
    text = re.sub(r"([\w.+-]+) WITH ([\w.+-]+)", r"\1_WITH_\2", text)
    tokens = re.findall(r"\(|\)|AND|OR|[\w.+-]+", text)

    def either(position):
        value, position = both(position)
        while position < len(tokens) and tokens[position] == "OR":
            other, position = both(position + 1)
            value = value or other
        return value, position

    def both(position):
        value, position = one(position)
        while position < len(tokens) and tokens[position] == "AND":
            other, position = one(position + 1)
            value = value and other
        return value, position

    def one(position):
        if tokens[position] == "(":
            value, position = either(position + 1)
            return value, position + 1
        return tokens[position].replace("_WITH_", " WITH ") in ACCEPTED, position + 1

    return bool(tokens) and either(0)[0]


def licences() -> list[str]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    wrong = []
    for package in metadata["packages"]:
        licence = package["license"]
        if not licence or not accepted(licence):
            wrong.append(f"{package['name']} {package['version']}: licence {licence!r} is not accepted")
    return wrong


def reasons() -> list[str]:
    wrong = []
    inside = False
    for line in (ROOT / "Cargo.toml").read_text().splitlines():
        if line.startswith("["):
            inside = line == "[workspace.dependencies]"
        name = re.match(r"([\w-]+) *=", line)
        if inside and name and "path =" not in line and "#" not in line:
            wrong.append(f"Cargo.toml: `{name[1]}` has no reason beside it")
    return wrong


def unused() -> list[str]:
    """Dependencies of a crate that none of its files names."""
    wrong = []
    for manifest in sorted(ROOT.glob("crates/*/Cargo.toml")):
        crate = manifest.parent
        code = "\n".join(path.read_text() for path in crate.rglob("*.rs"))
        section = ""
        for line in manifest.read_text().splitlines():
            section = line if line.startswith("[") else section
            name = re.match(r"([\w-]+)[.\w]* *=", line)
            if section.endswith("dependencies]") and name:
                word = name[1].replace("-", "_")
                if not re.search(rf"\b{word}\b", code):
                    wrong.append(f"{manifest.relative_to(ROOT)}: `{name[1]}` is not used")
    declared = re.findall(r"^([\w-]+) *=", (ROOT / "Cargo.toml").read_text().split("[workspace.dependencies]")[1].split("\n[")[0], re.M)
    named = "\n".join(path.read_text() for path in ROOT.glob("crates/*/Cargo.toml"))
    wrong += [f"Cargo.toml: no crate depends on `{name}`" for name in declared if not re.search(rf"^{name}[. ]", named, re.M)]
    return wrong


def main() -> int:
    wrong = licences() + reasons() + unused()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"dependencies: {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
