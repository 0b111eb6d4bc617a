// Package desk is the service of the peer grpc. Its other files are generated: with protoc, protoc-gen-go v1.36.12 and
// protoc-gen-go-grpc v1.6.1 in PATH, "go generate ./desk" makes them anew.
package desk

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative desk.proto
