"""python -m mlxk: the program itself; also what the scripts mlxk-json, mlxk2 and mlx-run start."""
from ._program import Error, become


def main() -> None:
    """Becomes the program under the name that was called."""
    try:
        become()
    except Error as e:
        raise SystemExit(f"mlxk: {e}") from None


if __name__ == "__main__":
    become("mlxk")
