"""What is recorded of a machine, from files as Linux writes them."""

from pathlib import Path

from vesselrt.benchmarks.machine_facts import describe_afterwards, describe_machine, read_clock, read_flags


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


CLOCKS = "sys/devices/system/cpu/cpu{}/cpufreq/{}"


def test_a_processor_with_a_governor(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": "processor : 0\nflags\t\t: fpu avx2 avx512_vnni amx_int8 vme\ncpu MHz\t\t: 1\n"}
    for cpu, now in (0, 2_000_000), (1, 3_000_000):
        files |= {
            CLOCKS.format(cpu, "scaling_governor"): "powersave\n",
            CLOCKS.format(cpu, "scaling_cur_freq"): f"{now}\n",
            CLOCKS.format(cpu, "cpuinfo_min_freq"): "800000\n",
            CLOCKS.format(cpu, "cpuinfo_max_freq"): "4000000\n",
        }
    told = describe_machine(write(tmp_path, files))
    assert {"cpu", "cores", "os", "python", "vesselrt"} <= told.keys()
    assert told["flags"] == ["avx2", "avx512_vnni", "amx_int8"]
    assert (told["governor"], told["mhz"], told["mhz_min"], told["mhz_max"]) == ("powersave", 2500, 800, 4000)
    assert describe_afterwards(tmp_path).keys() == {"load_after", "mhz_after"}
    assert describe_afterwards(tmp_path)["mhz_after"] == 2500


def test_a_virtual_machine_tells_its_clock_alone(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": "cpu MHz\t\t: 2400.5\n\ncpu MHz\t\t: 2600.5\n"})
    told = describe_machine(root)
    assert (told["governor"], told["mhz"], told["mhz_min"], told["mhz_max"]) == (None, 2500.5, None, None)


def test_arm_calls_them_features(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": "processor : 0\nFeatures\t: fp asimd asimddp i8mm bf16\n"})
    assert read_flags(root) == ["asimd", "asimddp", "i8mm", "bf16"]


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert (read_flags(tmp_path), read_clock(tmp_path)) == ([], None)
