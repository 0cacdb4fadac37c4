package main

import "errors"

// demoCmd runs every organisation in one process.
type demoCmd struct{}

// Run plays the demo.
func (c *demoCmd) Run(*env) error { return errors.New("the demo is not assembled yet") }
