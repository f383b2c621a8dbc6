"""The JSON resources: what each promises stands in `table`, their wire form in `schemas`."""
