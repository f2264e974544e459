"""Whatever has a `main()`: bridge, jobs, api, CLI, the stack of one machine."""
