#!/bin/sh
# What docs/MIGRATION.md says of mlx-knife 2.0.8, by mlx-knife itself: the pinned packages, in an environment below build/.
venv=build/long/mlx-knife
install() {
    python3 -m venv $venv && $venv/bin/python -m pip -q --disable-pip-version-check install huggingface_hub==2.4.0 safetensors numpy requests &&
        $venv/bin/python -m pip -q --disable-pip-version-check install --no-deps mlx-knife==2.0.8
}
if [ ! -x $venv/bin/mlxk ]; then
    rm -rf $venv
    if ! install; then echo "not ok migration/mlx_knife_can_be_installed"; exit 1; fi
fi
exec python3 tests/cli/migration.py $venv/bin/mlxk --before
