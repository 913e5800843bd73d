"""Results of runs: loading, statistics, tables, figures, reports. Reads run folders only; imports no agent."""
