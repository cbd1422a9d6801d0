"""placeholder"""


def demo() -> None:
    """Walk the main job on real data."""
