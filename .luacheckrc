-- How luacheck judges the scripts; `python -m tests.house.lua_lint` joins each of them
-- from its files first, so that names of a library are known where it is included.
std = "lua51"
-- What Redis gives a script, and nothing else.
read_globals = {"redis", "cjson", "cmsgpack", "bit", "struct", "KEYS", "ARGV"}
-- A script cannot set a global: Redis refuses it.
allow_defined = false
max_line_length = 120
