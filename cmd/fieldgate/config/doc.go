// Package config reads the configuration file: YAML, decoded strictly, each
// mistake reported with file, line and what would be right, all of them at
// once.
//
// The file is read as a tree of nodes first, so that every value keeps its
// line; each section of the file is decoded and checked by one Go file of this
// package. A key is known because a decoder asks for it: there is no second
// list of keys to keep in step.
package config
