#!/usr/bin/env python3
"""What render.py makes of figures made up here, without the plots: what checks the code has no matplotlib."""

import importlib.util
import unittest
from pathlib import Path

SCRIPT = Path(__file__).with_name("render.py")
spec = importlib.util.spec_from_file_location("render", SCRIPT)
render = importlib.util.module_from_spec(spec)
spec.loader.exec_module(render)

# As divan prints where no terminal is.
PRINTED = """\
Timer precision: 20 ns
functions                   fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ country_of_a_number      9.1 µs        │ 1.2 ms        │ 10.5 µs       │ 11 µs         │ 100     │ 100
╰─ referral_code_of_a_sub   331.8 ns      │ 398.2 ns      │ 336.2 ns      │ 341.4 ns      │ 100     │ 1600
"""


def several(*figures):
    figures = sorted(figures)
    return {"min": figures[0], "median": figures[len(figures) // 2], "max": figures[-1], "runs": len(figures)}


def cell(contestant, rate, cpu, batch=1000, processes=4):
    return {
        "contestant": contestant,
        "batch": batch,
        "processes": processes,
        "events_per_second": several(rate * 0.9, rate, rate * 1.1),
        "cpu_us_per_event": several(cpu),
        "peak_rss_mb": several(cpu),
    }


class Render(unittest.TestCase):
    def test_figures_have_three_digits_that_say_something(self):
        shown = [render.number(value) for value in (29831.2, 1406.5, 99.96, 25.66, 2.0854, 0.04121, 0)]
        self.assertEqual(shown, ["29,800", "1,410", "100", "25.7", "2.09", "0.0412", "0"])

    def test_nothing_measured_is_nothing_said(self):
        self.assertEqual(render.render({}), "")
        self.assertEqual(render.render({"trigger": None, "drain": None}), "")

    def test_each_section_stands_without_the_others(self):
        text = render.render({"drain": {"users": 5, "cells": [cell(render.OURS, 100, 2), cell(render.LIMIT, 200, 0)]}})
        self.assertIn("| user-sync-consumer | 100 (90.0 to 110) |", text)
        self.assertIn("| the same SQL by pgbench | 0.50 |", text)
        self.assertIn("1,000, 4 processes | at least 0.80 | 0.50 | **no** |", text)
        self.assertNotIn("peer", text)

    def test_each_peer_is_compared_and_the_thriftiest(self):
        cells = [cell(render.OURS, 100, 10), cell("fast", 80, 20), cell("thrifty", 50, 5)]
        text = render.render({"drain": {"users": 5, "cells": cells}})
        self.assertIn("over those of fast: batches of 1,000, 4 processes | - | 1.25 |", text)
        self.assertIn("over those of thrifty: batches of 1,000, 4 processes | - | 2.00 |", text)
        self.assertIn("thriftiest peer (thrifty): batches of 1,000 | - | 2.00 |", text)

    def test_logins_with_new_names_have_a_section_of_their_own(self):
        text = render.render({"renames": {"users": 5, "cells": [cell(render.OURS, 60, 10), cell("fast", 80, 20)]}})
        self.assertIn("over those of fast, where each login tells of a new name: batches of 1,000, 4 processes | - | 0.75 |", text)
        self.assertIn("## Logins that tell of a new name", text)
        self.assertNotIn("## Draining the queue", text)

    def test_the_trigger_stands_beside_its_peers_and_sendmessage(self):
        program = {
            "program": "user-sync-trigger", "init_ms": several(10, 11, 12), "init_cpu_ms": several(9),
            "cold_total_ms": several(20), "cold_total_cpu_ms": several(15),
            "warm_p50_ms": 0.7, "warm_p99_ms": 1.5, "warm_cpu_ms": 0.4, "peak_rss_mb": 13.0,
        }
        section = {
            "programs": [program], "bare": {"p50_ms": 0.4, "p99_ms": 0.8}, "binary_bytes": 7_900_000,
            "cold_times_as_fast_as": {"Python, boto3": 12.0}, "warm_p50_above_bare_ms": 0.3, "invocations": 2000,
        }
        text = render.render({"trigger": section})
        self.assertIn("| until it asks for the first invocation (ms) | 11.0 (10.0 to 12.0) | - |", text)
        self.assertIn("| warm, p50 (ms) | 0.700 | 0.400 |", text)
        self.assertIn("times as fast as Python, boto3 | at least 15.00 | 12.00 | **no** |", text)
        self.assertIn("| the trigger's program | at most 4.00 MB | 7.90 MB | **no** |", text)
        self.assertIn("program is of 7.90 MB.", text)

    def test_a_table_that_grew_is_compared_with_the_one_beside_it_and_with_less_memory(self):
        def grown(users, rate, over, ledger=0, memory="14GB", huge=True):
            figures = {"events_per_second": several(rate), "over_reference": several(over), "hot_share": 0.999}
            return {"users": users, "users_mb": 640, "shared_buffers": memory, "huge_pages": huge, "ledger_rows": ledger, **figures}

        # The machine became slower from one table to the next, and the table beside each with it.
        tables = [grown(1_000_000, 500, 1), grown(20_000_000, 300, 0.9), grown(20_000_000, 150, 0.6, 50)]
        section = {"processes": 4, "batch": 1000, "reference_users": 1_000_000, "tables": tables}
        section["short_of_memory"] = grown(20_000_000, 140, 0.3, 50, "6GB", huge=False)
        text = render.render({"growth": section})
        self.assertIn("with 20,000,000 users over those with 1,000,000 users, in turn | at least 0.80 | 0.90 | yes |", text)
        self.assertIn("with 50 ledger rows over those with none, each over the table beside it | - | 0.67 |", text)
        self.assertIn("with `shared_buffers` of 6GB over those with 14GB, each over the table beside it | - | 0.50 |", text)
        self.assertIn("| 20,000,000 | 640 MB | 14GB in huge pages | 50 | 150 | 0.60 | 99.9 % |", text)
        self.assertIn("| 20,000,000 | 640 MB | 6GB | 50 | 140 | 0.30 | 99.9 % |", text)

    def test_the_hardest_cases_stand_beside_the_usual_one(self):
        hardest = {"spread": several(100), "hot_user": several(150), "redelivered": several(80)}
        hardest |= {"sign_ups_own_address": several(20), "sign_ups_shared_address": several(5)}
        text = render.render({"growth": {"processes": 4, "batch": 1000, "reference_users": 5, "tables": [], "hardest": hardest}})
        self.assertIn("logins that were all applied before over those of fresh ones | - | 0.80 |", text)
        self.assertIn("| logins that were all applied before | 80.0 |", text)

    def test_sections_of_several_builds_say_which_is_of_which(self):
        measured = {"cores": 2, "memory_gib": 24.0, "date": "2026-12-01"}
        sections = {name: {"machine": {"commit": commit, **measured}} for name, commit in [("a", "1"), ("b", "2"), ("c", "1")]}
        text = render.machine(sections)
        self.assertIn("| date | 2026-12-01 |\n| commit | 1 (a, c); 2 (b) |\n| cores | 2 |\n| memory (GiB) | 24 |", text)

    def test_what_is_wanted_and_not_met_is_said(self):
        cells = [cell(render.OURS, 100, 2), cell(render.LIMIT, 200, 0)]
        self.assertIn("| at least 0.80 | 0.50 | **no** |", render.render({"drain": {"users": 5, "cells": cells}}))

    def test_only_what_is_between_the_markers_changes(self):
        page = f"before\n{render.BEGIN}\nold\n{render.END}\nafter\n"
        self.assertEqual(
            render.between_markers(page, "new"), f"before\n{render.BEGIN}\nnew\n{render.END}\nafter\n"
        )

    def test_contexts_stand_beside_logins_and_an_attack(self):
        def ages(p99):
            return {"p50_ms": 1.0, "p99_ms": p99, "max_ms": 9.0}

        rates = {"events_per_second": several(100), "cpu_us_per_event": several(2)}
        section = {
            "drain": {
                "logins": rates,
                "contexts": rates,
                "logins_after_contexts": rates,
                "bytes_a_row": {"login": 500, "context": 300},
            },
            "steady": {"logins_per_second": 1000, "seconds": 600, "late_seconds": 60, "logins": ages(5), "contexts": ages(6)},
            "attacks": [
                {"failing_users": None, "logins": ages(5)},
                {"failing_users": 5, "logins": ages(7), "failures": ages(40), "stored": 600_000, "bytes_a_row": 150},
            ],
        }
        text = render.contexts(section)
        self.assertIn("a login is 500 bytes and a context 300", text)
        self.assertIn("| 10,000 failures/s of 5 users | 1.00 | 7.00 | 9.00 | 600,000 | 150 | 40.0 |", text)

    def test_medians_are_read_from_what_divan_prints(self):
        found = render.functions_of(PRINTED)
        self.assertEqual([each["name"] for each in found], ["country_of_a_number", "referral_code_of_a_sub"])
        self.assertEqual([each["median_ns"] for each in found], [10500.0, 336.2])
        self.assertEqual(found[0]["max_ns"], 1.2e6)
        self.assertIn("| referral code of a sub | 336 ns | 332 ns | 100 |", render.functions({"rows": found}))

    def test_a_form_that_is_not_divans_fails(self):
        with self.assertRaises(SystemExit):
            render.functions_of("functions: ok\n")


if __name__ == "__main__":
    unittest.main()
