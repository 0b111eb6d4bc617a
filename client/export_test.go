package client

import "time"

// Giving returns how many leases, and acquisitions with an outcome not known, are being given back in the background.
func (c *Client) Giving() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.giving
}

// Drift has the last hello be so old, and the server's clock have gone ahead by so much since.
func (c *Client) Drift(age, by time.Duration) {
	k := c.leases.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.helloAt = time.Time{}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := *c.conns[0].greeting
	g.asked, g.server = g.asked.Add(-age), g.server.Add(-age-by)
	c.conns[0].greeting = &g
}
