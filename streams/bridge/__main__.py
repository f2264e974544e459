"""`python -m streams.bridge`: the bridge with the settings of the environment."""

from streams.bridge.job import main
from streams.settings import load

main(load())
