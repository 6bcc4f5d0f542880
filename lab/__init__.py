"""The reference deployment in network namespaces: see ci/lab."""
