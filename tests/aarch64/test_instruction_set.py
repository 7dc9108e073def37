"""What the library of the other machine says of itself: it runs there, and with vectors."""

import eplb


def test_it_uses_neon():
    cpu = eplb.backends()["cpu"]
    assert cpu.text == "uses neon, built for neon plain"
    assert cpu.device_names == ("CPU (neon)",)
