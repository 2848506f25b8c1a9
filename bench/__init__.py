"""Measurements, as ratios against something that stands beside this program in the same run: `./dev bench send`."""
