"""flanpyd: the composition root. The only package that knows every other one."""
