package proof

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tiny is a package to put mutants into: functions of all shapes, with a test for each.
var tiny = map[string]string{
	"go.mod": "module tiny\n\ngo 1.26\n",
	"tiny.go": `package tiny

import (
	"os"
	"strings"
)

var exit = os.Exit

const limit = 3

func A(x int) int {
	return x + 1
}

func B(x int) int {
	if x > limit {
		return x - 1
	}
	return x + 2
}

func C(x int) (y int) { y = x; return }

func D(to *[]string, s ...string) {
	*to = append(*to, s...)
}

func E(_ string, n int, _, _ bool, rest ...int) (sum, count int, _ error) {
	for _, x := range rest {
		sum += x * n
	}
	return sum, len(rest), nil
}

func F(int, string, ...func(int)) string { return "F" }

type list[T any] struct{ all []T }

func (l *list[T]) G(x T) *list[T] {
	l.all = append(l.all, x)
	return l
}

func (*list[_]) H(struct {
	A int
	B string
}) string {
	return "H"
}

func I[K comparable, V interface{ ~int | ~string }](m map[K]V, k K) V {
	var none V
	if v, ok := m[k]; ok {
		return v
	}
	return none
}

type value int

func (v value) J() string { return strings.Repeat("J", int(v)) }

func K(n int) int {
	if n == 0 {
		return 0
	}
	f := func() int { return 1 }
	return f() + K(n-1)
}

var set string

func init() {
	set = "L"
}

func M[T any]() int { return limit }
`,
	"tiny_test.go": `package tiny

import "testing"

func same(t *testing.T, got, want any) {
	if t.Helper(); got != want {
		t.Errorf("is %v, want %v", got, want)
	}
}

func TestA(t *testing.T)   { same(t, A(1), 2) }
func TestAbove(t *testing.T) { same(t, B(4), 3) }
func TestBelow(t *testing.T) { same(t, B(1), 3) }
func TestC(t *testing.T)   { same(t, C(7), 7) }

func TestD(t *testing.T) {
	var to []string
	D(&to, "a", "b")
	D(&to)
	same(t, len(to), 2)
}

func TestE(t *testing.T) {
	sum, count, _ := E("", 2, true, true, 3, 4)
	same(t, sum, 14)
	same(t, count, 2)
}

func TestF(t *testing.T) { same(t, F(1, ""), "F") }
func TestG(t *testing.T) { same(t, new(list[int]).G(1).G(1).all[1], 1) }

func TestH(t *testing.T) {
	same(t, new(list[int]).H(struct {
		A int
		B string
	}{}), "H")
}

func TestI(t *testing.T) { same(t, I(map[string]int{"a": 1}, "a"), 1) }

func TestJ(t *testing.T) {
	var x interface{ J() string } = value(2)
	same(t, x.J(), "JJ")
}

func TestK(t *testing.T)     { same(t, K(5), 5) }
func TestL(t *testing.T)     { same(t, set, "L") }
func TestLimit(t *testing.T) { same(t, M[int](), 3) }
`,
}

var tinyMutants = []mutant{
	{"a plain function", "tiny.go", "x + 1", "x + 3", "^TestA$"},
	{"the first of two", "tiny.go", "x - 1", "x - 2", "^TestAbove$"},
	{"the second of two", "tiny.go", "	return x + 2\n}\n\nfunc C(", "	return x - 2\n}\n\nfunc C(", "^TestBelow$"},
	{"on one line", "tiny.go", "y = x; ", "y = 1; ", "^TestC$"},
	{"no results", "tiny.go", "	*to = append(*to, s...)\n", "", "^TestD$"},
	{"blank names", "tiny.go", "x * n", "x * 3", "^TestE$"},
	{"no names", "tiny.go", `"F"`, `"f"`, "^TestF$"},
	{"a generic receiver", "tiny.go", "l.all = append(l.all, x)", "l.all = append([]T{*new(T)}, *new(T))", "^TestG$"},
	{"a receiver without a name", "tiny.go", `"H"`, `"h"`, "^TestH$"},
	{"a generic function", "tiny.go", "ok := m[k]; ok", "ok := m[k]; !ok", "^TestI$"},
	{"through an interface", "tiny.go", "int(v)", "int(v) + 1", "^TestJ$"},
	{"within a closure of what calls itself", "tiny.go", "return 1 }", "return 2 }", "^TestK$"},
	{"init", "tiny.go", `"L"`, `"l"`, "^TestL$"},
	{"type arguments alone", "tiny.go", "return limit", "return 2 * limit", "^TestLimit$"},
	{"a constant", "tiny.go", "limit = 3", "limit = 9", "^TestLimit$"},
}

// inTiny makes the package, and has it be the working directory.
func inTiny(t *testing.T) {
	if Race || testing.Short() {
		t.Skip("it builds")
	}
	t.Chdir(t.TempDir())
	for name, text := range tiny {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var fails = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// TestWeave has each mutant do what it is to do, and nothing else: the one test fails that is for it, of all there are.
func TestWeave(t *testing.T) {
	inTiny(t)
	all := append([]mutant{{}}, tinyMutants...)
	files, alone, errs := weave(all)
	if len(errs) != 0 {
		t.Fatal(errs)
	}
	if _, ok := alone[len(all)-1]; !ok || len(alone) != 1 {
		t.Errorf("by themselves are built: %v, want the constant", alone)
	}
	binary, err := build(t, files)
	if err != nil {
		t.Fatal(err)
	}
	for n, m := range all[:len(all)-1] {
		run := exec.CommandContext(t.Context(), binary)
		run.Env = append(os.Environ(), fmt.Sprintf("KASSA_MUTANT=%d", n))
		out, _ := run.CombinedOutput()
		var got, want []string
		for _, f := range fails.FindAllStringSubmatch(string(out), -1) {
			got = append(got, f[1])
		}
		if m.Check != "" {
			want = []string{strings.Trim(m.Check, "^$")}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v fail, want %v\n%s", m.What, got, want, out)
		}
	}
}

// TestMutants runs Mutants, in a process of its own, over what is to be found and over what is to be an error.
func TestMutants(t *testing.T) {
	const key = "KASSA_PROOF_CASE"
	cases := map[string]struct {
		mutants []mutant
		says    []string // each a regular expression
	}{
		"found": {tinyMutants, []string{"\nPASS\n", "proof: 15 of 15 mutants found", `14 of them built in \d`,
			`a constant +tested in +[0-9.]+ s TestLimit, built by itself in \d`}},
		"lost": {append(tinyMutants[:2:2],
			mutant{"never", "tiny.go", "no such text", "", "^TestA$"},
			mutant{"often", "tiny.go", "func", "", "^TestA$"},
			mutant{"nowhere", "none.go", "x", "", "^TestA$"}),
			[]string{"\nFAIL\n", "proof: 2 of 5", `never: tiny.go has "no such text" 0 times`, `often: tiny.go has "func" \d\d times`,
				"nowhere: open none.go"}},
		"not noticed": {[]mutant{{"less", "tiny.go", "x - 1", "x - 2", "^TestBelow$"}},
			[]string{"\nFAIL\n", "proof: 0 of 1", `less: \^TestBelow\$ has not noticed`}},
		"no test fails": {[]mutant{{"exits", "tiny.go", "y = x; ", "exit(7); ", "^TestC$"}},
			[]string{"\nFAIL\n", "proof: 0 of 1", "exits: no test fails, but: exit status 7"}},
		"does not build": {[]mutant{{"no such name", "tiny.go", "int(v)", "int(w)", "^TestJ$"}},
			[]string{"\nFAIL\n", "proof: 0 of 1", "no such name:1:.*undefined: w"}},
		"does not build by itself": {[]mutant{{"no number", "tiny.go", "limit = 3", "limit = true", "^TestLimit$"}},
			[]string{"\nFAIL\n", "proof: 0 of 1", "no number: it does not build"}},
		"fails unchanged": {[]mutant{{"less", "tiny.go", "x - 1", "x - 2", "^TestAbove$|^TestNever$"}},
			[]string{"\nFAIL\n", "proof: 1 of 1", "what is not changed fails"}},
	}
	if c, ok := cases[os.Getenv(key)]; ok {
		Mutants(t, c.mutants)
		return
	}
	inTiny(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	never := "package tiny\n\nimport \"testing\"\n\nfunc TestNever(t *testing.T) { t.Fail() }\n"
	if err := os.WriteFile("never_test.go", []byte(never), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			run := exec.CommandContext(t.Context(), self, "-test.run=^TestMutants$", "-test.v")
			run.Env = append(os.Environ(), key+"="+name)
			out, _ := run.CombinedOutput()
			for _, want := range c.says {
				if !regexp.MustCompile(want).Match(out) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}
