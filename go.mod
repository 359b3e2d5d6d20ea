module fieldgate

go 1.26
