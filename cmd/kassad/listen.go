package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// checkAddress says what is wrong with an address to listen at.
func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix://"); ok && path != "" {
		if len(path) > socketPathBytesMax {
			return fmt.Errorf("the path of %s has %d bytes, a Unix socket's may have %d", address, len(path), socketPathBytesMax)
		}
		return nil
	}
	if hostPort, ok := strings.CutPrefix(address, "tcp://"); ok {
		if _, port, err := net.SplitHostPort(hostPort); err == nil {
			if _, err := strconv.ParseUint(port, 10, 16); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("address %q: want tcp://HOST:PORT or unix:///PATH", address)
}

// socketPathBytesMax is the room in a sockaddr_un, less the zero at its end.
const socketPathBytesMax = len(syscall.RawSockaddrUnix{}.Path) - 1

// isLoopback reports that only programs of this machine reach a host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// outside returns the addresses that others than this machine's programs may reach.
func outside(addresses []string) []string {
	var out []string
	for _, address := range addresses {
		hostPort, ok := strings.CutPrefix(address, "tcp://")
		if host, _, err := net.SplitHostPort(hostPort); ok && err == nil && !isLoopback(host) {
			out = append(out, address)
		}
	}
	return out
}

// hasIPv6 reports whether the machine has the address ::1. Where IPv6 is switched off it has not.
func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT)
	}
	l.Close()
	return true
}
