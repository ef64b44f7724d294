"""The run: from pending work to scores."""
