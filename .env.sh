cd /work/w/python/bindings/python
export PYTHONPATH=/work/w/python/bindings/python EPLB_LIBRARY=/work/w/lib/libeplb.so.0 EPLB_EMULATED_LIBRARY=/work/w/lib/libeplb_emulated.so PATH=/work/w/python/.venv/bin:$PATH
