package config

import (
	"math"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"github.com/kassa-go/kassa/pool"
)

// extent is from where to where places are, in rows or in columns.
type extent struct{ first, last int64 }

func (e *extent) add(at int64) {
	if e.first == 0 || at < e.first {
		e.first = at
	}
	e.last = max(e.last, at)
}

// middle is in hundredths, as all that focus is set to.
func (e extent) middle() int64 { return 50 * (e.first + e.last) }

// has says whether some hundredths are within.
func (e extent) has(at int64) bool { return at >= 100*e.first && at <= 100*e.last }

// focus sets what the best seats are nearest to. Without n, what it is set to, that is two thirds of the way to the last
// row, in the middle.
func (r *reader) focus(s *pool.Spec, h *hall, of *items, n ast.Node, name string) error {
	var rows, columns extent
	for i := range of.list {
		if item := &of.list[i]; item.Row != 0 {
			rows.add(item.Row)
			columns.add(item.Col)
		}
	}
	switch {
	case rows.last == 0 && n != nil:
		return r.errorf(n, "%s is for seats that have a place, and there are none: say them with seats, or give items a row and a column",
			name)
	case rows.last == 0:
		return nil
	case n == nil:
		s.FocusRow, s.FocusCol = 100*rows.first+200*(rows.last-rows.first)/3, columns.middle()
		return nil
	}
	var rowAt, columnAt ast.Node
	var row, column string
	err := r.settings(n, name, []setting{
		{"row", func(n ast.Node, name string) error { rowAt = n; return r.text(&row)(n, name) }},
		{"column", func(n ast.Node, name string) error { columnAt = n; return r.text(&column)(n, name) }},
	})
	switch {
	case err != nil:
		return err
	case rowAt == nil:
		return r.errorf(n, "%s has no row: say which, as in row: F", name)
	}
	named := h.named(row)
	switch at, ok := hundredths(row); {
	case named != nil:
		s.FocusRow = 100 * named[0].at
	case !ok:
		return r.errorf(rowAt, "%s.row: there is no row %s: %s", name, shortened(row), meant(row, h.rowNames()))
	case !rows.has(at):
		return r.errorf(rowAt, "%s.row is %s: the hall has rows %d to %d", name, row, rows.first, rows.last)
	default:
		s.FocusRow = at
	}
	if columnAt == nil {
		var across extent
		for i := range of.list {
			if item := &of.list[i]; 100*item.Row == s.FocusRow {
				across.add(item.Col)
			}
		}
		if across.last == 0 {
			across = columns
		}
		s.FocusCol = across.middle()
		return nil
	}
	at, ok := hundredths(column)
	switch {
	case !ok:
		return r.wrong(columnAt, name+".column", "a seat, such as 10, or 10.5 for between 10 and 11")
	case named == nil && !columns.has(at):
		return r.errorf(columnAt, "%s.column is %s: the hall has columns %d to %d", name, column, columns.first, columns.last)
	case named == nil:
		s.FocusCol = at
		return nil
	}
	seat, part := at/100, at%100
	left, ok := named.column(seat)
	right := left
	if ok && part > 0 {
		seat++
		right, ok = named.column(seat)
	}
	if !ok {
		return r.errorf(columnAt, "%s.column is %s: row %s has no seat %d", name, column, row, seat)
	}
	s.FocusCol = 100*left + part*(right-left)
	return nil
}

// hundredths reads a number above 0, such as 10.5, of which hundredths count.
func hundredths(text string) (int64, bool) {
	value, err := strconv.ParseFloat(text, 64)
	at := math.Round(100 * value)
	if err != nil || !(at >= 1 && at <= 100*pool.PlaceMax) {
		return 0, false
	}
	return int64(at), true
}

// namedRow is a row of the hall, as far as it is in one block, or several beside each other.
type namedRow []struct {
	*block
	at int64
}

// named returns the row that has a name in the first block that has it, nil if there is none.
func (h *hall) named(name string) (row namedRow) {
	for _, b := range h.blocks {
		if i, ok := b.rows.find(name); ok {
			if at := b.row + int64(i); row == nil || at == row[0].at {
				row = append(row, struct {
					*block
					at int64
				}{b, at})
			}
		}
	}
	return row
}

// column returns where in the hall a seat of the row is, by its number.
func (row namedRow) column(seat int64) (int64, bool) {
	for _, b := range row {
		if i, ok := b.seats.find(strconv.FormatInt(seat, 10)); ok {
			return b.column + b.across[i], true
		}
	}
	return 0, false
}

func (h *hall) rowNames() (names []string) {
	for _, b := range h.blocks {
		names = append(names, b.rows.list...)
	}
	return names
}
