// Package seats finds the best seats of a cinema or a stadium.
//
// A Hall knows where seats are: at places, each a row and a column. A Group is of seats that are always selected together.
// Seats are neighbours when they are in the same row at consecutive columns, whatever their groups; a place without a seat,
// an aisle, parts them. A run is of neighbours that are selected and free. A Focus is the point that seats should be near.
//
// All of it is bits. A hall has pages of 64 rows, with a bit for each row that has something free; a row has words of 64
// columns, with two bits for each seat, in the group that it belongs to: it is there, it is free. Best unites the words of
// the groups selected, and shifts and ANDs them until what is left are the places where runs that are long enough start. It
// goes through the rows from the focus outwards, and ends where a row is farther away than the best seats found.
//
// Reading order: hall.go (where seats are), best.go (which are the best).
//
// # Caveats
//
// A Hall belongs to one goroutine, even where it is only asked. What it answers follows from the seats that are there now,
// whatever the order in which they came and went.
//
// A group is used with the hall that made it. Rows and columns are not checked.
//
// Where many rows have free seats, but nowhere as many side by side as are wanted, Best looks at all of these rows. With
// split it does so again each time that the runs left become shorter: a thousand seats scattered in a hall of a million can
// take it tens of milliseconds.
package seats
