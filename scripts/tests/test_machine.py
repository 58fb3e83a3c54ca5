"""What is seen of a machine, by made-up /proc and /sys."""
import pathlib
import tempfile
import unittest

import fake_root
import support  # noqa: F401  (sets the path)
from crucible_lib import environment, machine
from crucible_lib.cgroup import Cgroup, throttled_between
from crucible_lib.machine import NOT_VISIBLE, Machine

V1 = {"proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/user.slice/run.scope/cpu.max": None, "sys/fs/cgroup/user.slice/cpu.max": None}


class Probes(unittest.TestCase):
    def machine(self, changes=None):
        return Machine(fake_root.make(self, changes))

    def test_cpus_are_those_allowed_and_online(self):
        self.assertEqual(self.machine().affinity(), [0, 1])
        self.assertEqual(self.machine({"sys/devices/system/cpu/online": None}).affinity(), [0, 1, 2, 3])
        self.assertEqual(machine.parse_cpus("0-2,5"), [0, 1, 2, 5])

    def test_governors_that_differ_are_all_named(self):
        mixed = self.machine({"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n"})
        self.assertEqual(mixed.governor(), "performance, powersave")

    def test_turbo_by_either_driver(self):
        self.assertEqual(self.machine().turbo(), "off")
        amd = {"sys/devices/system/cpu/intel_pstate/no_turbo": None, "sys/devices/system/cpu/cpufreq/boost": "1\n"}
        self.assertEqual(self.machine(amd).turbo(), "on")

    def test_policy_and_nice_behind_a_name_with_brackets(self):
        self.assertEqual(self.machine().scheduling(), {"policy": "SCHED_BATCH", "nice": 5})

    def test_swap_and_huge_pages(self):
        self.assertEqual(self.machine().swap(), "2.0 GiB, 0 MiB in use")
        none = self.machine({"proc/meminfo": "MemTotal: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"})
        self.assertEqual(none.swap(), "none")
        self.assertEqual(self.machine().huge_pages(), {"private_memory": "madvise", "shared_memory": "never"})

    def test_what_is_mounted_last_at_dev_shm(self):
        twice = {"proc/self/mounts": "a /dev/shm tmpfs rw 0 0\nb /dev/shm ext4 ro,noexec 0 0\n"}
        self.assertEqual(self.machine(twice).shm_mount(), ("ext4", ["ro", "noexec"]))

    def test_what_cannot_be_seen_is_never_zero(self):
        with tempfile.TemporaryDirectory() as folder:
            record = environment.collect(pathlib.Path("nowhere"), "host", Machine(folder))
            load = environment.LoadWatch(Machine(folder)).read()
        self.assertEqual(set(load.values()), {NOT_VISIBLE})
        own = {"cpus_online", "model", "mitigations", "affinity", "container_or_vm"}
        for section in ("cpu", "transparent_huge_pages", "cgroup", "host_kind", "scheduling", "limits_of_a_process",
                        "ipc_limits"):
            for name, value in record[section].items():
                if name not in own:
                    self.assertEqual(value, NOT_VISIBLE, (section, name))
        for name in ("memory_bytes", "swap", "clocksource", "cgroup_cpu_quota"):
            self.assertEqual(record[name], NOT_VISIBLE, name)


class Groups(unittest.TestCase):
    def group(self, changes=None):
        return Cgroup(Machine(fake_root.make(self, changes)))

    def test_no_limit_is_said(self):
        group = self.group()
        self.assertEqual((group.quota_in_words(), group.record()),
                         ("none", {"version": "2", "cpuset": "0-1", "memory_limit": "none"}))

    def test_the_tightest_on_the_way_up_holds(self):
        group = self.group({"sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000\n",
                            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
                            "sys/fs/cgroup/user.slice/memory.max": str(512 << 20)})
        self.assertEqual((group.quota_in_words(), group.record()["memory_limit"]), ("1.5 CPUs", "512 MiB"))

    def test_version_1_as_a_container_shows_it(self):
        group = self.group(V1)
        self.assertEqual((group.quota_in_words(), group.memory_limit(), group.version()), ("1.5 CPUs", None, "1 and 2"))
        self.assertEqual(group.throttling(), (10, 4, 1.5))
        unnamed = self.group({**V1, "proc/self/cgroup": None})  # the root's are not this process's
        self.assertEqual((unnamed.quota_in_words(), unnamed.throttling()), (NOT_VISIBLE, None))

    def test_throttling_between(self):
        self.assertEqual(throttled_between((10, 4, 1.5), (30, 5, 1.75)), "1 of 20 periods, 0.25 s")
        self.assertEqual(throttled_between((0, 0, 0.0), (0, 0, 0.0)), "no quota in force")
        self.assertEqual(throttled_between(None, (1, 1, 1.0)), NOT_VISIBLE)


class Load(unittest.TestCase):
    def test_shares_of_the_time_between(self):
        before, after = [0] * 10, [10, 0, 10, 60, 10, 0, 0, 10, 10, 0]
        busy, stolen = environment.shares(before, after)
        self.assertAlmostEqual(busy, 0.3)
        self.assertAlmostEqual(stolen, 0.1)
        self.assertEqual(environment.shares(before, before), (None, None))

    def test_a_watch_sees_steal_and_throttling(self):
        root = fake_root.make(self, V1)
        watch = environment.LoadWatch(Machine(root))
        fake_root.change(root, {"proc/stat": "cpu  20 0 20 250 0 0 0 50 0 0\n", "proc/loadavg": "1.5 0 0 1/1 1\n",
                                "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 20\nnr_throttled 5\n"
                                                              "throttled_time 2000000000\n"})
        self.assertEqual(watch.read(), {"steal_time": "50.00 %", "throttled": "1 of 10 periods, 0.5 s",
                                        "load_before": "0.01 0.02 0.03", "load_after": "1.5 0 0"})


if __name__ == "__main__":
    unittest.main()
