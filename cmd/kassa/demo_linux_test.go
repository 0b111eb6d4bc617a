package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

// openTerminal returns both ends of a terminal: the one that sees what is shown, and the program's.
func openTerminal(t testing.TB, columns, lines uint16) (seen, screen *os.File) {
	t.Helper()
	seen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { seen.Close() })
	number, err := unix.IoctlGetInt(int(seen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(seen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		screen, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return seen, screen
}

// TestDemoView checks what is seen on a terminal, and that it is put back when the demo is interrupted.
func TestDemoView(t *testing.T) {
	_, env := demoServer(t)
	const lines = 9
	seen, screen := openTerminal(t, 60, lines)
	cmd := exec.Command(bin+"/kassa", "demo", "--clients", "60")
	cmd.Env, cmd.Stdout, cmd.Stderr = append([]string{"TERM=xterm", "PATH=" + os.Getenv("PATH")}, env...), screen, screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()
	stop := time.AfterFunc(proc.Timeout, func() { cmd.Process.Kill() })
	defer stop.Stop()

	var all strings.Builder
	buf := make([]byte, 4096)
	sale := regexp.MustCompile(`# [1-9][0-9]* sold`)
	interrupted := false
	for {
		n, err := seen.Read(buf)
		all.Write(buf[:n])
		if !interrupted && sale.MatchString(all.String()) { // a seat was sold
			interrupted = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		if err != nil { // io.EOF, or EIO: the program has ended
			break
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("%v", err)
	}
	text := all.String()
	begin, end := strings.Index(text, screenBegin), strings.LastIndex(text, screenEnd)
	if begin < 0 || end < begin || !strings.Contains(text[end:], "60 clients, pool cinema, seed ") || strings.Contains(text[end:], screenHome) {
		t.Fatalf("%q", text)
	}
	pictures := strings.Split(text[begin+len(screenBegin):end], screenHome)[1:]
	last := pictures[len(pictures)-1]
	if len(pictures) < 2 || !strings.Contains(last, "cinema") || !strings.Contains(last, "\r\nA ") {
		t.Errorf("%d pictures, the last: %q", len(pictures), last)
	}
	for _, p := range pictures {
		if strings.Count(p, "\n") >= lines || strings.Contains(p, "\x1b[2J") {
			t.Errorf("it scrolls, or flickers: %q", p)
		}
	}
}
