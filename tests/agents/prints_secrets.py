# Prints secrets: in one line, over many lines, and across the border at which long lines are split.
import os
import sys

KEY = "sk-ant-api03-" + "0123456789abcdef" * 4
LINE_MAX = 1024 * 1024
out = sys.stdout
out.write("the key is " + KEY + "\n")
out.write('{"password": "hunter2"}\n')
out.write("token " + os.environ["EXECUTION_LEDGER_KEY"] + " used\n")
out.write("-----BEGIN PRIVATE KEY-----\nMIIEow0abcdefghijklmnopqrstuvwxyz\n-----END PRIVATE KEY-----\n")
for shift in (1, 7, 20, 40, 70):
    # Written in pieces, so that the reader sees the key in two readings as well.
    out.write("x" * (LINE_MAX - shift - 1) + " " + KEY[:30])
    out.flush()
    out.write(KEY[30:] + " " + "y" * 100_000 + "\n")
    out.flush()
