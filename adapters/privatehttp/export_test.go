package privatehttp

// MaxConnections is how many may be open at one time, for tests.
const MaxConnections = maxConnections
