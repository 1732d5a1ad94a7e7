"""The command `gate`, one module per command. All of argparse is here."""
