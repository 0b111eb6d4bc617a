package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kassa-go/kassa/pool"
	"github.com/kassa-go/kassa/pool/when"
)

// placed writes items of stock as text: ID, row and column, quantity, labels.
func placed(items []pool.ItemSpec) string {
	var b strings.Builder
	for _, item := range items {
		fmt.Fprintf(&b, "%s@%d/%d", item.ID, item.Row, item.Col)
		if item.Quantity != 0 {
			fmt.Fprintf(&b, "*%d", item.Quantity)
		}
		for _, name := range slices.Sorted(maps.Keys(item.Labels)) {
			fmt.Fprintf(&b, " %s=%s", name, item.Labels[name])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestSeats(t *testing.T) {
	for _, test := range []struct{ name, pool, want string }{
		{"a block", "seats: [{rows: A..B, seats: 1..2}]", "A1@1/1 A2@1/2 B1@2/1 B2@2/2"},
		{"one row", "seats: [{rows: Loge, seats: [1, 2], id: 'L-{seat}'}]", "L-1@1/1 L-2@1/2"},
		{"one seat in each row", "seats: [{rows: [box 1, box 2], seats: 1, id: '{row}'}]", "box 1@1/1 box 2@2/1"},
		{"letters go on", "seats: [{rows: Y..AB, seats: 1}]", "Y1@1/1 Z1@2/1 AA1@3/1 AB1@4/1"},
		{"small letters", "seats: [{rows: y..aa, seats: 1}]", "y1@1/1 z1@2/1 aa1@3/1"},
		{"a list without I", "seats: [{rows: [G..H, J, 7], seats: 1}]", "G1@1/1 H1@2/1 J1@3/1 71@4/1"},
		{"counting down", "seats: [{rows: 2..1, seats: 11..9, id: '{row}-{seat}'}]", "2-11@1/1 2-10@1/2 2-9@1/3 1-11@2/1 1-10@2/2 1-9@2/3"},
		{"zeros in front", "seats: [{rows: A, seats: 09..11, aisles: 9, zones: [{seats: [9, 10], labels: {z: v}}]}]", "A09@1/1 z=v A10@1/3 z=v A11@1/4"},
		{"odd and even", "seats: [{rows: A, seats: [3, 1, 2, 4]}]", "A3@1/1 A1@1/2 A2@1/3 A4@1/4"},
		{"aisles", "seats: [{rows: A, seats: 1..5, aisles: [4, 2]}]", "A1@1/1 A2@1/2 A3@1/4 A4@1/5 A5@1/7"},
		{"missing", "seats: [{rows: A..B, seats: 1..4, missing: [A1, B2..B4]}]", "A2@1/2 A3@1/3 A4@1/4 B1@2/1"},
		{"missing, own IDs", "seats: [{missing: b-A-1..b-A-2, rows: A, seats: 1..3, id: 'b-{row}-{seat}'}]", "b-A-3@1/3"},
		{
			"zones", "seats: [{rows: A..B, seats: 1..3, labels: {z: a, n: 1}, zones: [{rows: B, labels: {z: b}}, {seats: 2..3, labels: {y: c}}, {rows: B, seats: 3, labels: {z: d, y: d}}]}]",
			"A1@1/1 n=1 z=a A2@1/2 n=1 y=c z=a A3@1/3 n=1 y=c z=a B1@2/1 n=1 z=b B2@2/2 n=1 y=c z=b B3@2/3 n=1 y=d z=d",
		},
		{
			"blocks", "seats: [{rows: A..C, seats: 1}, {rows: A..B, seats: 2, at: {row: 1, column: 3}}, {rows: D, seats: 1}, {rows: E, seats: 1, at: {column: 4}}]",
			"A1@1/1 B1@2/1 C1@3/1 A2@1/3 B2@2/3 D1@4/1 E1@5/4",
		},
		{"items too", "items: [{id: floor, quantity: 500, labels: {z: f}}, {id: x, row: 2, column: 7}, y]\n    seats: [{rows: A, seats: 1}]", "floor@0/0*500 z=f x@2/7 y@0/0 A1@1/1"},
		{"nothing", "seats: []", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, "k.yaml", "pools:\n  p:\n    kind: stock\n    "+test.pool+"\n")
			if got := strings.Join(strings.Fields(placed(c.Pools[0].Items)), " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestFocus(t *testing.T) {
	const (
		plain   = "seats: [{rows: A..L, seats: 1..20, aisles: 10}]"
		halves  = "seats: [{rows: A..B, seats: 1..4}, {rows: A..B, seats: 5..8, at: {row: 1, column: 7}}, {rows: A..C, seats: 1..4, id: 'x{row}{seat}'}]"
		numbers = "seats: [{rows: 12..10, seats: 4..1, id: '{row}-{seat}'}]"
		single  = "items: [{id: a, row: 3, column: 5}, {id: b, row: 5, column: 8}, c]"
	)
	for _, test := range []struct {
		name, hall, focus string
		row, col          int64
	}{
		{"default", plain, "", 833, 1100},
		{"default of single seats", single, "", 433, 650},
		{"default without seats", "ids: a", "", 0, 0},
		{"over an aisle", plain, "{row: F, column: 10.5}", 600, 1100},
		{"at a seat", plain, "{row: F, column: 11}", 600, 1200},
		{"a quarter", plain, "{row: F, column: 9.25}", 600, 925},
		{"middle of a row", plain, "{row: A}", 100, 1100},
		{"the first of two", halves, "{row: B, column: 3}", 200, 300},
		{"in the block beside", halves, "{row: B, column: 6}", 200, 800},
		{"between the blocks", halves, "{row: A, column: 4.5}", 100, 550},
		{"middle of both", halves, "{row: A}", 100, 550},
		{"only below", halves, "{row: C, column: 4}", 500, 400},
		{"a number is a name first", numbers, "{row: 12, column: 3.5}", 100, 150},
		{"a row of the hall", numbers, "{row: 2.5, column: 3.5}", 250, 350},
		{"a row of the hall, its middle", single, "{row: 5}", 500, 800},
		{"between rows of the hall", single, "{row: 4.25}", 425, 650},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "pools:\n  p:\n    kind: stock\n"
			if test.focus != "" {
				text += "    focus: " + test.focus + "\n"
			}
			s := load(t, "k.yaml", text+"    "+test.hall+"\n").Pools[0].Spec
			if s.FocusRow != test.row || s.FocusCol != test.col {
				t.Errorf("row %d, column %d: want %d, %d", s.FocusRow, s.FocusCol, test.row, test.col)
			}
		})
	}
}

func TestCalendar(t *testing.T) {
	c := load(t, "k.yaml", `
pools:
  rooms:
    hours: {mon-fri: "08:00-20:00", sat: 09:00-13:00}
    zone: Europe/Berlin
    setup: 5m
    cleanup: 10m
    slotMax: 8h
    horizon: 8760h
    keep: 24h
    onDisconnect: release
    lifetimeMax: 1h
    kind: calendar
    ids: room-1..room-2
    items: [{id: room-3, capacity: 4, labels: {floor: 1}}]
  plain: {kind: calendar, setup: 0s}
`)
	zone, err := when.Zone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	hours, err := when.ParseHours(map[string]string{"mon-fri": "08:00-20:00", "sat": "09:00-13:00"}, zone)
	if err != nil {
		t.Fatal(err)
	}
	want := []Pool{
		{
			Spec: pool.Spec{
				Name: "rooms", Kind: pool.Calendar, OnDisconnect: pool.ReleaseOnEnd, LifetimeMaxMs: 3600_000,
				SetupMs: 300_000, CleanupMs: 600_000, SlotMaxMs: 8 * 3600_000, HorizonMs: 8760 * 3600_000, KeepMs: 24 * 3600_000,
			},
			Zone: zone, Hours: hours,
			Items: []pool.ItemSpec{{ID: "room-1"}, {ID: "room-2"}, {ID: "room-3", Quantity: 4, Labels: map[string]string{"floor": "1"}}},
		},
		{Spec: pool.Spec{Name: "plain", Kind: pool.Calendar}, Zone: time.UTC},
	}
	if !reflect.DeepEqual(c.Pools, want) {
		t.Errorf("got  %+v\nwant %+v", c.Pools, want)
	}
}

// Some columns and members are settings in pools of one kind. In others they are attrs, or there is no such member.
func TestNumbersInFiles(t *testing.T) {
	const rows = "id,row,column,quantity,capacity\na,1,2,,9\nb,,,500,\n"
	c := load(t, "k.yaml", `
pools:
  lease: {file: p.csv}
  stock: {kind: stock, file: p.csv}
  calendar: {kind: calendar, file: p.csv}
  stocklines: {kind: stock, file: s.jsonl}
  calendarlines: {kind: calendar, file: c.jsonl}
`, "p.csv", rows,
		"s.jsonl", `{"id":"a","row":1,"column":2,"attrs":{"row":7}}`+"\n"+`{"id":"b","quantity":500,"row":null}`+"\n"+`{"id":3,"row":4,"column":5}`,
		"c.jsonl", `{"id":"a","capacity":9}`+"\n"+`{"id":"\u0062","capacity":8,"labels":{"n":1}}`)
	want := []string{
		"a@0/0 {\"row\":\"1\",\"column\":\"2\",\"capacity\":\"9\"}\nb@0/0 {\"quantity\":\"500\"}\n",
		"a@1/2 {\"capacity\":\"9\"}\nb@0/0*500 \n",
		"a@0/0*9 {\"row\":\"1\",\"column\":\"2\"}\nb@0/0 {\"quantity\":\"500\"}\n",
		"a@1/2 {\"row\":7}\nb@0/0*500 \n3@4/5 \n",
		"a@0/0*9 \nb@0/0*8 n=1 \n",
	}
	for i, p := range c.Pools {
		var got strings.Builder
		for _, item := range p.Items {
			fmt.Fprintf(&got, "%s %s\n", strings.TrimSpace(placed([]pool.ItemSpec{item})), item.Attrs)
		}
		if got.String() != want[i] {
			t.Errorf("pool %s:\n%s\nwant:\n%s", p.Spec.Name, got.String(), want[i])
		}
	}
}

// stadium is of 60,000 seats in 60 blocks, ten beside each other, with zones.
func stadium() string {
	var b strings.Builder
	b.WriteString("pools:\n  stadium:\n    kind: stock\n    focus: {row: 25-1, column: 10.5}\n    seats:\n")
	for i := range 60 {
		fmt.Fprintf(&b, "      - {rows: %d-1, seats: 1..20, id: 'b%d-1-{seat}', at: {row: %d, column: %d}}\n", i, i, i/10*51+1, i%10*25+1)
		fmt.Fprintf(&b, "      - rows: 2..50\n        seats: 1..20\n        aisles: [10]\n        id: 'b%d-{row}-{seat}'\n        at: {row: %d, column: %d}\n", i, i/10*51+2, i%10*25+1)
		fmt.Fprintf(&b, "        labels: {block: %d}\n        zones: [{rows: 2..10, labels: {zone: front}}, {rows: 10..20, seats: 5..15, labels: {zone: vip}}]\n", i)
	}
	return b.String()
}

func TestStadium(t *testing.T) {
	c, err := Parse("k.yaml", []byte(stadium()))
	if err != nil {
		t.Fatal(err)
	}
	p := &c.Pools[0]
	fit(t, p.Items)
	labels := make(map[string]bool)
	for _, item := range p.Items {
		labels[fmt.Sprint(item.Labels)] = true
	}
	if len(p.Items) != 60_000 || len(labels) != 60*3+1 || p.Spec.FocusRow != 103*100 || p.Spec.FocusCol != 125*100+1050 {
		t.Errorf("%d seats, %d sets of labels, focus %d, %d", len(p.Items), len(labels), p.Spec.FocusRow, p.Spec.FocusCol)
	}
}

// What 60,000 seats take.
func BenchmarkStadium(b *testing.B) {
	if testing.Short() {
		b.Skip("it takes seconds")
	}
	text := []byte(stadium())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("k.yaml", text); err != nil {
			b.Fatal(err)
		}
	}
}
