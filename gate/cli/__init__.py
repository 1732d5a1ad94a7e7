"""The command `gate`: one module a command. All of argparse is here."""
