package engine

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// room tells connections when their sockets have room for more bytes. gnet then writes what it has kept, but tells nobody;
// so the few sockets that somebody waits for are also in a poller of ours, each until it has been told once.
type room struct {
	file *os.File // the epoll instance, which the Go runtime's poller watches in turn: waiting takes no thread
	raw  syscall.RawConn

	mu    sync.Mutex
	conns map[int32]*Conn // those that wait, by descriptor
}

func newRoom() (*room, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("engine: epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the runtime would not watch it
		_ = unix.Close(fd)
		return nil, fmt.Errorf("engine: epoll: %w", err)
	}
	r := &room{file: os.NewFile(uintptr(fd), "epoll"), conns: make(map[int32]*Conn)}
	r.raw, err = r.file.SyscallConn()
	return r, err
}

// watch has c.tellSent called when its socket has room. The goroutine of c's loop calls it, so that the socket is open; when
// it is closed the kernel takes it out.
func (r *room) watch(c *Conn) error {
	socket := c.gc.Fd()
	event := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(socket)}
	r.mu.Lock()
	r.conns[event.Fd] = c
	r.mu.Unlock()
	var err error
	closed := r.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, socket, &event)
		if errors.Is(err, unix.ENOENT) {
			err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_ADD, socket, &event)
		}
	})
	return errors.Join(closed, err)
}

// forget takes out a connection that has closed. Its descriptor may be another's by now.
func (r *room) forget(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fd := int32(c.gc.Fd()); r.conns[fd] == c {
		delete(r.conns, fd)
	}
}

// run tells connections, until close.
func (r *room) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		err := r.raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, event := range events[:n] {
			r.mu.Lock()
			c := r.conns[event.Fd]
			delete(r.conns, event.Fd)
			r.mu.Unlock()
			if c != nil { // else it has closed
				// By the time it runs the loop has written. An error means that the loop has ended.
				_ = c.Execute(c.roomAgain)
			}
		}
	}
}

func (r *room) close() { _ = r.file.Close() }
