package client

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDeadAfter(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := dialer.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil || int64(ms) != deadAfter.Milliseconds() {
			t.Errorf("TCP_USER_TIMEOUT is %d ms, %v", ms, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
