package proof

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// weave returns the text of each file that mutants change, with a copy of its function for each mutant: the function begins
// by calling the copy whose number KASSA_MUTANT says, if any (mutant schemata). The path of a file is that of the mutant.
// What is not within one function is in alone, by the mutant's number: the text of its file with this mutant only.
func weave(mutants []mutant) (files map[string]string, alone map[int]string, errs map[int]error) {
	files, alone, errs = map[string]string{}, map[int]string{}, map[int]error{}
	parsed := map[string]*source{}
	for n, m := range mutants {
		if m.File == "" {
			continue
		}
		s := parsed[m.File]
		if s == nil {
			var err error
			if s, err = parse(m.File); err != nil {
				errs[n] = fmt.Errorf("%s: %w", m.What, err)
				continue
			}
			parsed[m.File] = s
		}
		if count := strings.Count(s.text, m.From); count != 1 {
			errs[n] = fmt.Errorf("%s: %s has %q %d times, want once", m.What, m.File, m.From, count)
			continue
		}
		if changed := strings.Replace(s.text, m.From, m.To, 1); !s.add(n, m.What, changed) {
			alone[n] = changed
		}
	}
	for path, s := range parsed {
		files[path] = s.woven()
		files[filepath.Join(filepath.Dir(path), "mutant_number.go")] = "package " + s.tree.Name.Name + `

import (
	"os"
	"strconv"
)

var mutant_, _ = strconv.Atoi(os.Getenv("KASSA_MUTANT"))
`
	}
	return files, alone, errs
}

// source is a file that mutants change.
type source struct {
	text   string
	set    *token.FileSet
	tree   *ast.File
	calls  map[*ast.FuncDecl]string // of its copies, to stand before the rest of its body
	copies strings.Builder
}

func parse(path string) (*source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &source{text: string(text), set: token.NewFileSet(), calls: map[*ast.FuncDecl]string{}}
	s.tree, err = parser.ParseFile(s.set, path, text, parser.SkipObjectResolution)
	return s, err
}

func (s *source) offset(p token.Pos) int { return s.set.Position(p).Offset }

// add makes the copy for mutant n, if there is one function that has all that is changed in its body.
func (s *source) add(n int, what, changed string) bool {
	for _, d := range s.tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		before, after := s.text[:s.offset(f.Body.Lbrace)+1], s.text[s.offset(f.Body.Rbrace):]
		body, head := strings.CutPrefix(changed, before)
		body, tail := strings.CutSuffix(body, after)
		if !head || !tail {
			continue
		}
		name := fmt.Sprintf("mutant%d_%s", n, f.Name.Name)
		s.calls[f] += fmt.Sprintf(" if mutant_ == %d { %s };", n, call(f, name))
		// What the compiler has to say of the copy, it says of a file that is called what the mutant is.
		fmt.Fprintf(&s.copies, "\n//line %s:1\n%s {%s}\n", what, header(f, name), body)
		return true
	}
	return false
}

// woven returns the file with the calls in its functions, and their copies at its end.
func (s *source) woven() string {
	var b strings.Builder
	done := 0
	for _, d := range s.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && s.calls[f] != "" {
			b.WriteString(s.text[done:s.offset(f.Pos())] + header(f, f.Name.Name) + " {" + s.calls[f])
			done = s.offset(f.Body.Lbrace) + 1
		}
	}
	return b.String() + s.text[done:] + s.copies.String()
}

// names returns the names in a list of receivers or parameters. What has none is given one: else it can not be passed on.
func names(list *ast.FieldList) (all []string) {
	if list == nil {
		return nil
	}
	for _, field := range list.List {
		if field.Names == nil {
			field.Names = []*ast.Ident{{Name: "_", NamePos: field.Type.Pos()}}
		}
		for _, name := range field.Names {
			if name.Name == "_" {
				name.Name = fmt.Sprintf("unnamed%d_", name.NamePos)
			}
			all = append(all, name.Name)
		}
	}
	return all
}

// header returns f up to its body, by another name.
func header(f *ast.FuncDecl, name string) string {
	var b strings.Builder
	// A set without the file has it all on one line.
	_ = format.Node(&b, token.NewFileSet(), &ast.FuncDecl{Recv: f.Recv, Name: ast.NewIdent(name), Type: f.Type})
	return b.String()
}

// call returns the statements that call f by another name with what f was called with, and return what it returns.
func call(f *ast.FuncDecl, name string) string {
	if f.Recv != nil {
		name = names(f.Recv)[0] + "." + name
	}
	if types := names(f.Type.TypeParams); types != nil {
		name += "[" + strings.Join(types, ", ") + "]"
	}
	args := strings.Join(names(f.Type.Params), ", ")
	if list := f.Type.Params.List; len(list) > 0 {
		if _, variadic := list[len(list)-1].Type.(*ast.Ellipsis); variadic {
			args += "..."
		}
	}
	if f.Type.Results == nil {
		return name + "(" + args + "); return"
	}
	return "return " + name + "(" + args + ")"
}

// build makes the test binary of the package in the working directory, with texts for files, by their paths, in place of
// what is there.
func build(t *testing.T, files map[string]string) (binary string, err error) {
	dir, replace := t.TempDir(), map[string]string{}
	for path, text := range files {
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err = os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	if err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "mutant.test")
	args := []string{"test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "."}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}
