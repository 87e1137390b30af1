"""What the pages quote is what the program says, and where they point to is there."""

import re
import subprocess
import unittest

from penstock_runs import SOURCE

PAGES = ("docs/troubleshooting.md", "docs/slurm.md", "docs/aws.md")

# Said by others; the pages say by whom.
FOREIGN = {
    "mpirun has detected an attempt to run as root",
    "There are not enough slots available in the system",
    "OPAL ERROR: Unreachable",
    "not built with SLURM's PMI support",
    "task N launch failed: Unspecified error",
}

# What stands for something else in a quoted message: names, numbers, a reason of somebody else.
PLACE = re.compile(r"""\.\.\. | \b(N|X|NAME|NODE|FAILED|PENSTOCK_[A-Z0-9]+)\b | '\w+' | "\w+" | \bn?\d[\w.]*(\ s\b)? |
                       \([A-Z]\w*\) | (?<=\w):\ """, re.VERBOSE)

# What others say behind a colon.
WORDS_OF_OTHERS = {"Requested node configuration is not available"}


def files(*patterns):
    return [path for pattern in patterns for path in sorted(SOURCE.glob(pattern)) if path.is_file()]


def said():
    """Everything that we can say: the string literals of the sources, and the scripts as they are."""
    texts = []
    for path in files("src/**/*.cpp", "src/**/*.hpp"):
        joined = re.sub(r'"\s*\n\s*"', "", path.read_text())
        texts += [literal.replace('\\"', '"') for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', joined)]
    texts += [path.read_text() for path in files("modules/cmake/*.cmake", "bootstrap.sh", "slurm/parallelcluster/*",
                                                 "bench/p4d-c5n/throughput")]
    return "\n".join(texts).replace("`", "")  # which a quoted message cannot have


def quoted(page):
    """The messages that a page is about: in bold, as code, at the start of a paragraph."""
    bold = re.findall(r"^\*\*(.*?)\*\*", (SOURCE / page).read_text(), re.MULTILINE | re.DOTALL)
    return [" ".join(message.split()) for text in bold for message in re.findall(r"`([^`]+ [^`]+)`", text)]


def fragments(message):
    cut = PLACE.sub("\0", message).split("\0")
    return [text for text in (each.strip(" ,;'\"()") for each in cut) if re.search("[a-z]{2}", text)]


class Messages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.said = said()

    def test_that_are_quoted_are_in_the_sources(self):
        for page in PAGES:
            for message in quoted(page):
                if message in FOREIGN:
                    continue
                with self.subTest(page=page, message=message):
                    parts = fragments(message)
                    self.assertTrue(any(len(part.split()) > 1 for part in parts), "too little of it is fixed to find it")
                    for part in set(parts) - WORDS_OF_OTHERS:
                        self.assertTrue(part in self.said, f"nothing says \"{part}\"")

    def test_of_others_are_those_that_the_pages_quote(self):
        self.assertEqual(FOREIGN - {message for page in PAGES for message in quoted(page)}, set())

    def test_would_be_missed(self):
        for wrong in ("transport 'X' does not work where it is", "not ready before 30s: ..."):
            self.assertTrue([part for part in fragments(wrong) if part not in self.said], wrong)


def anchors(text):
    """As GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Links(unittest.TestCase):
    def test_lead_to_files_and_headings_that_exist(self):
        for page in files("*.md", "docs/*.md", "slurm/**/*.md", "bench/**/*.md", "packaging/**/*.md", "src/*.md", "tests/**/*.md"):
            text = page.read_text()
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"\w+:", target):
                    continue
                name, _, anchor = target.partition("#")
                with self.subTest(page=str(page.relative_to(SOURCE)), target=target):
                    to = (page.parent / name).resolve() if name else page
                    self.assertTrue(to.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(to.read_text()))


class Commands(unittest.TestCase):
    def test_of_the_page_about_aws_are_commands_of_a_shell(self):
        text = (SOURCE / "docs" / "aws.md").read_text()
        blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

        self.assertGreater(len(blocks), 5)
        for block in blocks:
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""), block)

    def test_of_the_page_about_aws_name_files_that_exist(self):
        named = re.findall(r"\b(?:slurm|jobs|bench)/[\w./-]+\w", (SOURCE / "docs" / "aws.md").read_text())

        self.assertGreater(len(named), 8)
        for name in named:
            self.assertTrue((SOURCE / name).exists(), name)


if __name__ == "__main__":
    unittest.main()
