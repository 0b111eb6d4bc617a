package bench

// For tests.
var (
	Children        = children
	SuitePeers      = suitePeers
	ErrNotInstalled = errNotInstalled
)
