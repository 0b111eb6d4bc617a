package when_test

import (
	"fmt"
	"time"

	"github.com/kassa-go/kassa/pool/when"
)

func show(ms int64, zone *time.Location) string {
	return time.UnixMilli(ms).In(zone).Format("Mon 2006-01-02 15:04 -07:00")
}

func ExampleAt() {
	berlin, _ := when.Zone("Europe/Berlin")
	for _, text := range []string{"2026-11-21T10:00", "2026-11-21T10:00:00-05:00", "2026-03-29T02:30", "2026-10-25T02:30"} {
		if ms, err := when.At(text, berlin); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(ms)
		}
	}
	// Output:
	// 1795251600000
	// 1795273200000
	// invalid_interval: 2026-03-29T02:30 does not exist in Europe/Berlin: the clocks go from 02:00 to 03:00 that day; choose another time
	// invalid_interval: 2026-10-25T02:30 is there twice in Europe/Berlin: write it with its offset, 2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00
}

// A meeting stays at ten when the clocks change. Then it, and what follows, is moved to Wednesday, and made longer.
func ExampleExpand() {
	berlin, _ := when.Zone("Europe/Berlin")
	start, _ := when.At("2026-10-20T10:00", berlin)
	const hour = 3_600_000
	slots, err := when.Expand("FREQ=WEEKLY;COUNT=3", when.Slot{Start: start, End: start + hour}, berlin, nil, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range slots {
		fmt.Println(show(s.Start, berlin))
	}
	to, _ := when.At("2026-10-28T11:00", berlin)
	slots, err = when.Shift(slots[1:], berlin, slots[1], when.Slot{Start: to, End: to + 2*hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range slots {
		fmt.Println(show(s.Start, berlin), "to", show(s.End, berlin))
	}
	// Output:
	// Tue 2026-10-20 10:00 +02:00
	// Tue 2026-10-27 10:00 +01:00
	// Tue 2026-11-03 10:00 +01:00
	// Wed 2026-10-28 11:00 +01:00 to Wed 2026-10-28 13:00 +01:00
	// Wed 2026-11-04 11:00 +01:00 to Wed 2026-11-04 13:00 +01:00
}

func ExampleHours_Next() {
	berlin, _ := when.Zone("Europe/Berlin")
	hours, err := when.ParseHours(map[string]string{"mon-fri": "08:00-20:00", "sat": "22:00-03:00"}, berlin)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, _ := when.At("2026-10-23T12:00", berlin)
	to, _ := when.At("2026-10-26T12:00", berlin)
	for start, end, ok := hours.Next(from, to); ok; start, end, ok = hours.Next(end, to) {
		fmt.Println(show(start, berlin), "to", show(end, berlin))
	}
	// Output:
	// Fri 2026-10-23 12:00 +02:00 to Fri 2026-10-23 20:00 +02:00
	// Sat 2026-10-24 22:00 +02:00 to Sun 2026-10-25 03:00 +01:00
	// Mon 2026-10-26 08:00 +01:00 to Mon 2026-10-26 12:00 +01:00
}
