"""Channels that compress, and checksums of blobs, over every transport that one machine has."""

import os
import unittest

from penstock_runs import DEMO, RunTestCase, is_built, line_of, mpiexec, rows_of, stage

CODECS = [codec for codec in os.environ["PENSTOCK_CODECS"].split(",") if codec]
# Transports that fetch, and how runs that use them are started.
WAYS = [*([("mpi", mpiexec(4))] if "PENSTOCK_MPIEXEC" in os.environ else []),
        *((transport, ()) for transport in ("ucx", "ofi") if is_built(transport))]


def records(**keys):
    return line_of(stage("producer", "records", total_batches=50), stage("processor", "scale_records"),
                   stage("consumer", "csv_sink"), **keys)


@unittest.skipUnless(CODECS, "this build has no codec")
class Compression(RunTestCase):
    @unittest.skipUnless(WAYS, "this build has no transport that fetches")
    def test_changes_no_row_and_sends_fewer_bytes(self):
        expected = sorted(rows_of(self.run_to_end(records()).result()))
        for transport, launcher in WAYS:
            for codec in CODECS:
                with self.subTest(transport=transport, codec=codec):
                    folder = self.run_to_end(records(compression=codec, checksum="crc32c"), "--transport", transport,
                                             launcher=launcher)

                    self.assertTrue(sorted(rows_of(folder.result())) == expected, "other rows")
                    for name in ("producer-processor", "processor-consumer"):
                        counts = folder.channel(name)
                        found = counts["compression"]
                        self.assertEqual((found["codec"], found["raw_payloads"]), (codec, 0))
                        self.assertEqual(found["bytes_before"], counts["bytes"])
                        self.assertLess(found["bytes_after"], counts["bytes"])
                        self.assertAlmostEqual(found["ratio"], counts["bytes"] / found["bytes_after"])
                    self.assertIn(f"Channel 'producer-processor' compresses with {codec} for 1 of 1 receivers",
                                  "\n".join(folder.messages("producer.0")))

    @unittest.skipUnless(WAYS, "this build has no transport that fetches")
    def test_hands_on_what_it_has_compressed(self):
        transport, launcher = WAYS[0]
        for keys in ({}, {"by": "value"}, {"dispatch": "central"}, {"dispatch": "central", "by": "value"}):
            with self.subTest(**keys):
                spec = line_of(stage("source", "pattern", size_bytes="300KiB", count=60), stage("middle", "checksum"),
                               stage("sink", "null"), compression=CODECS[0], checksum="crc32c", **keys)
                folder = self.run_to_end(spec, "--transport", transport, "--arena-mib", "16", launcher=launcher)

                self.assertEqual(folder.channel("middle-sink")["settled"], 60)

    def test_leaves_alone_what_shared_memory_maps(self):
        folder = self.run_to_end(records(compression=CODECS[0], checksum="crc32c"))

        counts = folder.channel("producer-processor")
        self.assertEqual(counts["compression"]["bytes_after"], counts["bytes"])
        self.assertEqual(counts["compression"]["raw_payloads"], 50)
        self.assertIn("Channel 'producer-processor' compresses nothing: its receivers map the blobs",
                      "\n".join(folder.messages("producer.0")))

    def test_is_in_the_plan(self):
        for transport, said in (("auto", "compresses what is fetched"), ("shm", "compresses nothing")):
            path = self.write(records(compression=CODECS[0], checksum="crc32c", transport=transport))
            text = self.command("plan", path).out

            self.assertRegex(text, rf"{CODECS[0]} level \d, crc32c \({said}")
        self.assertRegex(self.command("graph", path).out, rf"{CODECS[0]} level \d, crc32c")


class Checksum(RunTestCase):
    def test_of_the_demo_agrees(self):
        expected = sorted(rows_of(self.run_to_end(DEMO).result()))
        folder = self.run_to_end(records(checksum="crc32c"))

        self.assertEqual(len(rows_of(folder.result())), 50_000)
        self.assertTrue(set(rows_of(folder.result())) <= set(expected))


if __name__ == "__main__":
    unittest.main()
