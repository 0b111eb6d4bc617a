package config

import "strings"

// meant says which of the names somebody may have meant, or else what the names are.
func meant(name string, names []string) string {
	best, bestDistance := "", len(name)/2+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	switch {
	case best != "":
		return "did you mean " + best + "?"
	case len(names) == 0:
		return "there are none"
	}
	const namesMax = 20
	if more := len(names) - namesMax; more > 0 {
		return "there are " + strings.Join(names[:namesMax], ", ") + ", …"
	}
	return "there are " + enumerate(names, " and ")
}

// distance counts the letters to add, take out or change that make b of a.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1) // of the prefixes of to, for a prefix of from
	for j := range row {
		row[j] = j
	}
	for i, letter := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j := range to {
			change := diagonal
			if letter != to[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
