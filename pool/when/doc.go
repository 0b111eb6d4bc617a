// Package when turns what people say of time into UTC instants: local times, recurrences and opening hours, each in a zone.
//
// A zone is an IANA name, such as Europe/Berlin. A moment is an instant in milliseconds since 1970, UTC; At reads it from
// text. A Slot is a stretch of time from one moment to another, [Start, End). Expand makes the slots of a recurrence from
// its rule (RRULE of RFC 5545), and Shift moves them. Hours says when in the week something is open.
//
// The package has no state and no goroutines, and everything in it may be used concurrently. All work is bounded: no rule
// and no table makes it run for long. Years go from 1970 to 2200. A refusal is an *Error. A
// zone must be given, but to At.
//
// # Clock changes
//
// A change of the clocks skips local times or repeats them. What is done with these depends on who asks:
//
//   - At refuses them: somebody means one moment, and can say which.
//   - Expand and Shift do as RFC 5545 says, for nobody looks at each slot: a local time that is skipped counts by the offset
//     before the change (02:30 becomes 03:30), of a time that is there twice the first is taken. All slots have the same
//     length, in milliseconds: a slot over a change ends an hour earlier or later by the clock on the wall.
//   - Hours take the moment of the change for a local time that is skipped, and the first of two. What closes at 03:00 in
//     the night of the change is open an hour more or less; what is adjacent stays adjacent.
//
// Reading order: zone.go (where local times become moments), at.go, rule.go and expand.go, hours.go.
package when
