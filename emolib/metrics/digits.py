"""As many digits of a measured number as training on another machine leaves standing (``benchmarks/spread.py`` measures it)."""


def digits(value: float) -> str:
    """``value`` as text: two digits (0.22, 1.5, 0.0064), three of one near 1 and from 10 on (0.996, 31.2), whole ones from 1,000 on."""
    size = abs(value)
    if size >= 1000:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if 0.9 <= size < 1:
        return f"{value:.3f}"
    return f"{value:.2g}"
