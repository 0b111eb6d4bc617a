package client

// Giving returns how many leases, and acquisitions with an outcome not known, are being given back in the background.
func (c *Client) Giving() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.giving
}
