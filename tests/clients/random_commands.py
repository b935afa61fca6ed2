"""Random commands with arguments from the edges, for comparing two servers.

What depends on when a server is asked is kept out: deadlines are either past or far away. What
would take half a gigabyte is kept out too, and the pattern `**`, which in Redis misses the empty key.
"""

KEYS = [b"a", b"b", b"c", b"number", b"{t}1", b"{t}2", b"", b"\x00\xff", b"absent"]
VALUES = [
    b"", b"0", b"1", b"-1", b"10", b"-0", b"01", b"+1", b" 1", b"1 ", b"3.0", b"3.14", b"1e3", b"-1.5e-3",
    b"0x10", b"inf", b"-inf", b"nan", b"1.7976931348623157e308", b"9223372036854775807",
    b"-9223372036854775808", b"9223372036854775808", b"9223372036854775806", b"abc", b"ohmytext",
    b"mynewtext", b"x" * 44, b"x" * 45, b"ab" * 10_000, b"\xff\x00\xf0", b"a\r\nb",
]
INTEGERS = [
    b"0", b"1", b"-1", b"2", b"3", b"-3", b"5", b"7", b"-8", b"100", b"-100", b"9223372036854775807",
    b"-9223372036854775808", b"9223372036854775808", b"abc", b"", b"1.5", b" 3", b"03", b"-0",
]
FLOATS = [
    b"0", b"0.1", b"0.2", b"-0.3", b"1.5", b"3e2", b"1e-5", b"5.0e3", b"100", b"-1", b"1e17", b"1e400",
    b"1e308", b"inf", b"-inf", b"nan", b"abc", b"", b" 1", b"1 ", b"0x1p3", b".5", b"5.",
]
RELATIVE = [b"100000", b"1000000", b"0", b"-1", b"abc", b"", b"1.5", b"9223372036854775807",
            b"-9223372036854775808", b"9223372036854775", b"9223372036854775808"]
ABSOLUTE_S = [b"4000000000", b"4100000000", b"1", b"0", b"-1", b"abc", b"9223372036854775807"]
ABSOLUTE_MS = [b"4000000000000", b"4100000000000", b"1", b"0", b"-1", b"abc", b"9223372036854775807"]
BIT_OFFSETS = [b"0", b"1", b"7", b"8", b"9", b"100", b"1000", b"-1", b"4294967296", b"abc", b"#1"]
RANGE_OFFSETS = [b"0", b"1", b"5", b"10", b"100", b"-1", b"536870912", b"9223372036854775807", b"abc"]
BIT_TYPES = [b"u8", b"i8", b"u1", b"i1", b"u63", b"i64", b"u64", b"i65", b"u0", b"i5", b"x8", b"u", b"u08"]
DATABASES = [b"0", b"1", b"1", b"15", b"16", b"-1", b"abc"]
PATTERNS = [b"*", b"?", b"{t}*", b"[ab]", b"[^a]", b"[a-c]", b"n*r", b"\\a", b"[", b"", b"**a", b"*a*b*"]


def maybe(rng, *words, chance=0.5):
    return list(words) if rng.random() < chance else []


def deadline(rng):
    return rng.choice([
        [b"EX", rng.choice(RELATIVE)], [b"PX", rng.choice(RELATIVE)],
        [b"EXAT", rng.choice(ABSOLUTE_S)], [b"PXAT", rng.choice(ABSOLUTE_MS)],
    ])


def set_options(rng):
    words = []
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        words += rng.choice([
            [b"NX"], [b"XX"], [b"GET"], [b"KEEPTTL"], deadline(rng), deadline(rng),
            [b"IFEQ", rng.choice(VALUES)], [b"PERSIST"], [b"EX"],
        ])
    return words


def bitfield(rng, read_only):
    words = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        kind, offset = rng.choice(BIT_TYPES), rng.choice(BIT_OFFSETS)
        choices = [[b"GET", kind, offset]]
        if not read_only or rng.random() < 0.1:
            choices += [
                [b"SET", kind, offset, rng.choice(INTEGERS)],
                [b"INCRBY", kind, offset, rng.choice(INTEGERS)],
                [b"OVERFLOW", rng.choice([b"WRAP", b"SAT", b"FAIL", b"NONE"])],
            ]
        words += rng.choice(choices)
    return words


def several(rng, words):
    return [rng.choice(words) for _ in range(rng.choice([1, 1, 2, 3]))]


def pairs(rng):
    return [word for _ in range(rng.choice([1, 2, 3])) for word in (rng.choice(KEYS), rng.choice(VALUES))]


def bit_range(rng):
    return [rng.choice(INTEGERS), rng.choice(INTEGERS)] + maybe(rng, rng.choice([b"BIT", b"BYTE", b"WORD"]))


def conditions(rng):
    return [rng.choice([b"NX", b"XX", b"GT", b"LT", b"AB"]) for _ in range(rng.choice([0, 0, 0, 1, 1, 2]))]


def lcs_options(rng):
    words = []
    for _ in range(rng.choice([0, 1, 2, 3])):
        words += rng.choice([[b"LEN"], [b"IDX"], [b"WITHMATCHLEN"], [b"MINMATCHLEN", rng.choice(INTEGERS)]])
    return words


def key(rng):
    return rng.choice(KEYS)


def value(rng):
    return rng.choice(VALUES)


STRINGS = {
    b"GET": lambda r: [key(r)],
    b"SET": lambda r: [key(r), value(r)] + set_options(r),
    b"SETNX": lambda r: [key(r), value(r)],
    b"SETEX": lambda r: [key(r), r.choice(RELATIVE), value(r)],
    b"PSETEX": lambda r: [key(r), r.choice(RELATIVE), value(r)],
    b"GETSET": lambda r: [key(r), value(r)],
    b"GETDEL": lambda r: [key(r)],
    b"GETEX": lambda r: [key(r)] + r.choice([[], [b"PERSIST"], deadline(r), deadline(r) + [b"PERSIST"], [b"NX"]]),
    b"STRLEN": lambda r: [key(r)],
    b"DELIFEQ": lambda r: [key(r), value(r)],
    b"MGET": lambda r: several(r, KEYS),
    b"MSET": pairs,
    b"MSETNX": pairs,
    b"INCR": lambda r: [key(r)],
    b"DECR": lambda r: [key(r)],
    b"INCRBY": lambda r: [key(r), r.choice(INTEGERS)],
    b"DECRBY": lambda r: [key(r), r.choice(INTEGERS)],
    b"INCRBYFLOAT": lambda r: [key(r), r.choice(FLOATS)],
    b"APPEND": lambda r: [key(r), value(r)],
    b"GETRANGE": lambda r: [key(r), r.choice(INTEGERS), r.choice(INTEGERS)],
    b"SUBSTR": lambda r: [key(r), r.choice(INTEGERS), r.choice(INTEGERS)],
    b"SETRANGE": lambda r: [key(r), r.choice(RANGE_OFFSETS), r.choice(VALUES[:24])],
    b"LCS": lambda r: [r.choice(KEYS[:4]), r.choice(KEYS[:4])] + lcs_options(r),
}

BITMAPS = {
    b"SETBIT": lambda r: [key(r), r.choice(BIT_OFFSETS), r.choice([b"0", b"1", b"1", b"2", b"x"])],
    b"GETBIT": lambda r: [key(r), r.choice(BIT_OFFSETS)],
    b"BITCOUNT": lambda r: [key(r)] + r.choice([[], bit_range(r), [r.choice(INTEGERS)]]),
    b"BITPOS": lambda r: [key(r), r.choice([b"0", b"1", b"2"])] + r.choice([[], bit_range(r), [r.choice(INTEGERS)]]),
    b"BITOP": lambda r: [r.choice([b"AND", b"OR", b"XOR", b"NOT", b"NAND"]), key(r)] + several(r, KEYS),
    b"BITFIELD": lambda r: [key(r)] + bitfield(r, read_only=False),
    b"BITFIELD_RO": lambda r: [key(r)] + bitfield(r, read_only=True),
}

GENERIC = {
    b"DEL": lambda r: several(r, KEYS),
    b"UNLINK": lambda r: several(r, KEYS),
    b"EXISTS": lambda r: several(r, KEYS),
    b"TOUCH": lambda r: several(r, KEYS),
    b"EXPIRE": lambda r: [key(r), r.choice(RELATIVE)] + conditions(r),
    b"PEXPIRE": lambda r: [key(r), r.choice(RELATIVE)] + conditions(r),
    b"EXPIREAT": lambda r: [key(r), r.choice(ABSOLUTE_S)] + conditions(r),
    b"PEXPIREAT": lambda r: [key(r), r.choice(ABSOLUTE_MS)] + conditions(r),
    b"TTL": lambda r: [key(r)],
    b"PTTL": lambda r: [key(r)],
    b"EXPIRETIME": lambda r: [key(r)],
    b"PEXPIRETIME": lambda r: [key(r)],
    b"PERSIST": lambda r: [key(r)],
    b"TYPE": lambda r: [key(r)],
    b"RENAME": lambda r: [key(r), key(r)],
    b"RENAMENX": lambda r: [key(r), key(r)],
    b"COPY": lambda r: [key(r), key(r)] + maybe(r, b"DB", r.choice(DATABASES), chance=0.3) + maybe(r, b"REPLACE"),
    b"MOVE": lambda r: [key(r), r.choice(DATABASES)],
    b"SWAPDB": lambda r: [r.choice(DATABASES), r.choice(DATABASES)],
    b"DBSIZE": lambda r: [],
    b"KEYS": lambda r: [r.choice(PATTERNS)],
    b"SCAN": lambda r: [b"0", b"COUNT", b"10000"] + maybe(r, b"MATCH", r.choice(PATTERNS))
    + maybe(r, b"TYPE", r.choice([b"string", b"STRING", b"hash", b"nonsense"])),
    b"RANDOMKEY": lambda r: [],
    b"OBJECT": lambda r: [r.choice([b"ENCODING", b"ENCODING", b"REFCOUNT", b"FREQ", b"NONSENSE"]), key(r)],
}

FAMILIES = {"strings": STRINGS, "bitmaps": {**BITMAPS, **STRINGS}, "generic": {**GENERIC, **STRINGS}}


def any_case(rng, word):
    return bytes(byte ^ 0x20 if rng.random() < 0.5 and chr(byte).isalpha() else byte for byte in word)


def sequence(rng, family, length):
    """A list of commands; one in thirty has an argument too few or too many."""
    commands = FAMILIES[family]
    names = sorted(commands)
    result = []
    for _ in range(length):
        name = rng.choice(names)
        arguments = list(commands[name](rng))
        if rng.random() < 1 / 30:
            if arguments and rng.random() < 0.5:
                arguments.pop()
            else:
                arguments.append(rng.choice(VALUES[:24]))
        result.append([any_case(rng, name) if rng.random() < 0.2 else name] + arguments)
    return result
