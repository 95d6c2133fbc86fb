// Command gatehouse signs people in with stored sessions and decides who may do
// what with products. All of it is put together in package bootstrap.
package main

import (
	"os"

	"gatehouse/bootstrap"
)

func main() {
	os.Exit(bootstrap.Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
