package chip

// Info is what a chip tells about itself when it is looked for.
type Info struct {
	Chip     string // such as "SX1276 version 0x12"; "": none was found
	Settings []Setting
}

// Setting is one that was read back, in words.
type Setting struct{ Name, Value string }
