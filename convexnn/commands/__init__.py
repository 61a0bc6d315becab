"""What ``convexnn solve`` and ``convexnn compare`` do, one problem family a file."""
