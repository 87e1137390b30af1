"""Operators that throw, in each hook and each kind of thing."""

import itertools
import unittest

from penstock_runs import RunTestCase, line_of, stage

HOOKS = ("constructor", "call", "finish")
#         what is thrown, exit code, what is said
KINDS = (("error", 3, "unsupported: planned failure in {where}"), ("std", 1, "planned failure in {where}"),
         ("unknown", 1, "no std::exception"))
CALLS = {"source": "produce()", "processor": "process()", "sink": "consume()"}


def pipeline(role, **fault):
    stages = [stage("first", "tagged_source", count=50), stage("second", "pass", instances=2), stage("third", "null")]
    place = list(CALLS).index(role)
    stages[place]["operator"] = f"throwing_{role}"
    stages[place]["params"] = fault
    return line_of(*stages), stages[place]["name"]


class ThrowingOperators(RunTestCase):
    def test_end_the_run_with_their_code_operator_stage_and_instance(self):
        for role, where, (kind, code, text) in itertools.product(CALLS, HOOKS, KINDS):
            with self.subTest(role=role, where=where, kind=kind):
                after = 7 if where == "call" else 0
                spec, name = pipeline(role, where=where, kind=kind, after=after)
                folder, said = self.run_to_end(spec, code=code, faults=True)

                answer = said[said.index("\npenstock: "):]
                self.assertIn(text.format(where=where), answer)
                hook = {"constructor": "creating operator", "call": CALLS[role], "finish": "finish()"}[where]
                self.assertIn(hook, answer)
                self.assertIn(f"'throwing_{role}'", answer)
                self.assertRegex(answer, rf"{name}\.[01]\b")
                status = folder.status
                self.assertEqual((status["state"], status["exit_code"]), ("failed", code))
                self.assertIn(status["error"], answer)

    def test_are_in_the_log_of_their_instance_and_of_the_coordinator(self):
        spec, _ = pipeline("sink", where="call", kind="std")
        folder, _ = self.run_to_end(spec, code=1, faults=True)

        for label in ("third.0", "coordinator"):
            errors = [entry["message"] for entry in folder.log(label) if entry["level"] == "error"]
            self.assertEqual(len(errors), 1, errors)
            self.assertIn("planned failure in call", errors[0])

    def test_do_not_lose_what_was_settled_before(self):
        spec = line_of(stage("first", "throwing_source", where="call", kind="std", after=20),
                       stage("third", "recorder"))
        folder, _ = self.run_to_end(spec, code=1, faults=True)

        written = folder.result("payloads.jsonl").read_text()
        self.assertTrue(written == "" or written.endswith("}\n"))
        self.assertGreaterEqual(len(written.splitlines()), folder.channel("first-third")["settled"])
        self.assertLessEqual(len(written.splitlines()), 20)


if __name__ == "__main__":
    unittest.main()
